"""The SQL tables of a raw store, and how clicks become their rows and back: pure, no server."""

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.sql import Columns, check_name, column_types
from clickstream.transforms.schema import CLICK_SCHEMA

COLUMNS = {name: f"{family}_{qualifier}" for name, (family, qualifier) in raw_clicks.family_columns().items()}
TIME = COLUMNS["timestamp"]
_TIMES = ("timestamp", "session_end")
_KINDS: dict[str, Any] = {
    "timestamp": column_types.TIME_MS,
    "session_end": column_types.TIME_MS,
    "time_spent": column_types.DOUBLE,
    "country": column_types.text(128),
}
_ORDER = ("timestamp", "click_id", *(name for name in CLICK_SCHEMA.names if name != "timestamp"))


def clicks_table(name: str) -> sa.Table:
    """The table of clicks: the primary key begins with the time, so that new ones go to its end. Times are UTC."""
    columns = [
        sa.Column("click_id", column_types.KEY, nullable=False)
        if name == "click_id"
        else sa.Column(
            COLUMNS[name], _KINDS.get(name, column_types.LONG_TEXT), nullable=CLICK_SCHEMA.field(name).nullable
        )
        for name in _ORDER
    ]
    key = sa.PrimaryKeyConstraint(TIME, "click_id")
    return sa.Table(check_name(name), sa.MetaData(), *columns, key, sqlite_with_rowid=False, **column_types.MYSQL)


def buckets_table(name: str) -> sa.Table:
    """The table of buckets (ms since the epoch) and their marks, see `Bucket`."""
    return sa.Table(
        check_name(name),
        sa.MetaData(),
        sa.Column("bucket", sa.BigInteger, nullable=False, primary_key=True, autoincrement=False),
        sa.Column("changed", column_types.KEY, nullable=False),
        sa.Column("reprocessed", column_types.KEY),
        **column_types.MYSQL,
    )


def mark_insert(table: sa.Table, rows: int = 1, *, is_sqlite: bool) -> str:
    """The statement that gives buckets their `changed` mark."""
    if is_sqlite:
        new = sqlite.insert(table).values([dict.fromkeys(table.columns.keys())] * rows)
        new = new.on_conflict_do_update(index_elements=["bucket"], set_={"changed": new.excluded.changed})
        return str(new.compile(dialect=sqlite.dialect()))
    insert = mysql.insert(table)
    insert = insert.on_duplicate_key_update(changed=insert.inserted.changed)
    return str(insert.compile(dialect=mysql.dialect(paramstyle="format")))


def selected(table: sa.Table, names: Sequence[str] = CLICK_SCHEMA.names) -> list[Any]:
    """What is asked for these columns of clicks."""
    columns = [table.c[COLUMNS[name]] for name in names]
    return [
        column_types.time_as_text(column) if name in _TIMES else sa.column(column.name)
        for name, column in zip(names, columns, strict=True)
    ]


def time_text(millis: int) -> str:
    """A time as it stands in the tables."""
    return str(_texts(pl.Series([millis]).cast(pl.Datetime("ms")))[0])


def to_columns(clicks: pa.Table) -> Columns:
    """Clicks (RAW_CLICK_SCHEMA) as columns of `clicks_table`, in its order."""
    frame = pl.DataFrame(pl.from_arrow(clicks.select(_ORDER)))
    return [(_texts(frame[name]) if name in _TIMES else frame[name]).to_list() for name in _ORDER]


def _texts(times: pl.Series) -> pl.Series:
    return times.dt.strftime("%Y-%m-%d %H:%M:%S%.3f")


def from_rows(rows: Iterable[Sequence[Any]], names: Sequence[str] = CLICK_SCHEMA.names) -> pa.Table:
    """What `selected` gave, as these columns of CLICK_SCHEMA."""
    fields = [CLICK_SCHEMA.field(name) for name in names]
    cells = list(zip(*rows, strict=True)) or [()] * len(fields)
    columns = [
        column_types.times_from_text(column, field.type) if field.name in _TIMES else pa.array(column, field.type)
        for column, field in zip(cells, fields, strict=True)
    ]
    return pa.table(columns, schema=pa.schema(fields))
