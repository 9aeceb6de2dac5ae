"""The SQL tables, and how Arrow tables become their rows: pure, no server.

The rows travel as columns: one list per column of the SQL table, in its order.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pymysql.converters import escape_string

from clickstream.io.dead_letter_key import dead_letter_key
from clickstream.io.errors import UserError
from clickstream.io.sql import column_types
from clickstream.transforms.arrays import Int64s
from clickstream.transforms.memo import Memo
from clickstream.transforms.schema import PAGES, RowKind, kind_of

Columns = list[list[Any]]

_TYPES = {
    "time": column_types.TIME,
    "url": column_types.text(),
    "country": column_types.text(128),
    "value": column_types.text(),
    "site": column_types.text(255),
    "count": sa.BigInteger(),
    "seconds": column_types.DOUBLE,
    "histogram": column_types.JSON,
    "theta": sa.BigInteger(),
    "hashes": column_types.JSON,
}
DETAIL_LENGTH = 2000
_SECONDS = "%Y-%m-%d %H:%M:%S"
_SPECIAL = "'\\\0\n\r\x1a"  # not `"`, which stands for itself between single quotes; JSON is full of it
_LONGEST_KNOWN = 512


def columns_of(kind: RowKind) -> tuple[str, ...]:
    """The names of a table's columns, in its order."""
    names = [column.name for column in kind.columns]
    place = names.index(kind.key[0])
    return (*names[:place], kind.hashed, *names[place:])


def key_of(kind: RowKind) -> tuple[str, str, str]:
    """The names of the primary key's columns."""
    return "window_start", kind.hashed, kind.key[1]


METRICS_COLUMNS = columns_of(PAGES)


def page_metrics_table(name: str = "page_metrics", kind: RowKind = PAGES) -> sa.Table:
    """The table of result rows: one per window, URL and country; or, of a breakdown, per window, value and site.

    Times are UTC; the key holds the URL's or value's hash.
    """
    columns = {each.name: sa.Column(each.name, _TYPES[each.holds], nullable=not each.always) for each in kind.columns}
    columns[kind.hashed] = sa.Column(kind.hashed, column_types.KEY, nullable=False)
    table = sa.Table(
        check_name(name),
        sa.MetaData(),
        *map(columns.__getitem__, columns_of(kind)),
        sa.PrimaryKeyConstraint(*key_of(kind)),
        sqlite_with_rowid=False,
        **column_types.MYSQL,
    )
    sa.Index(f"{name}_by_{kind.key[0]}", table.c[kind.hashed], table.c.window_start)
    return table


def dead_letters_table(name: str = "dead_letters") -> sa.Table:
    """The table of rejected records, with their exact bytes. Times are UTC; `record_timestamp` is Kafka's, in ms."""
    return sa.Table(
        check_name(name),
        sa.MetaData(),
        sa.Column("dead_letter_id", column_types.KEY, nullable=False, primary_key=True),
        sa.Column("source", column_types.text(), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("record_timestamp", column_types.TIME_MS),
        sa.Column("reason", column_types.text(64), nullable=False),
        sa.Column("detail", column_types.text(), nullable=False),
        sa.Column("raw", column_types.BYTES, nullable=False),
        sa.Column("code_version", column_types.text(64), nullable=False),
        sa.Column("rejected_at", column_types.TIME, nullable=False),
        **column_types.MYSQL,
    )


def check_name(name: str) -> str:
    """Returns the name of a table if it is a plain one.

    Raises:
        UserError: It holds other characters than letters, digits and `_`, or is longer than 48.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,47}", name):
        message = f"{name!r} can't name a table: use letters, digits and _ (at most 48, no digit first)."
        raise UserError(message)
    return name


def check_database_name(name: str) -> str:
    """Returns the name of a database if it can be used as it is.

    Raises:
        UserError: It holds other characters than letters, digits, `_`, `-` and `$`, or is longer than 64.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}", name):
        message = (
            f"{name!r} can't name a database: use letters, digits, _, - and $ (at most 64, a letter, digit or _ first)."
        )
        raise UserError(message)
    return name


class UrlHashes(Memo[bytes]):
    """The URL in the key: the first 16 bytes of SHA-256 over its UTF-8; in SQL, `LEFT(UNHEX(SHA2(url, 256)), 16)`.

    `hashes[url]` of a known one takes a thirtieth of the time.
    """

    def __init__(self) -> None:
        super().__init__(_url_hash, longest=_LONGEST_KNOWN)


def _url_hash(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()[:16]


def metric_columns(metrics: pa.Table, hashes: UrlHashes | None = None) -> Columns:
    """Result rows (of either kind, any windows) as columns of their table.

    Sorted by primary key, so that all writers lock in the same order; of the rows of one key, only that of the highest
    version. Times are text, 'YYYY-MM-DD HH:MM:SS' in UTC.
    """
    known = UrlHashes() if hashes is None else hashes
    kind = kind_of(metrics.column_names)
    keys = list(map(known.__getitem__, metrics[kind.key[0]].to_pylist()))
    order = _fullest(metrics, keys, kind.key[1])
    sorted_rows = metrics.take(pa.array(order))
    columns = {name: sorted_rows[name] for name in columns_of(kind) if name != kind.hashed}
    lists = {
        name: _times(column.to_numpy()) if name in ("window_start", "window_end") else column.to_pylist()
        for name, column in columns.items()
    }
    lists[kind.hashed] = list(map(keys.__getitem__, order.tolist()))
    return [lists[name] for name in columns_of(kind)]


def _fullest(metrics: pa.Table, keys: list[bytes], second: str) -> Int64s:
    """Indices of the rows in the order of the primary key, of each key only the last by version."""
    halves = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
    start = metrics["window_start"].to_numpy()
    key = (_ranks(metrics[second]), halves[:, 1], halves[:, 0], start)
    order = np.lexsort((metrics["version"].to_numpy(), *key))
    last = np.ones(len(order), np.bool_)
    last[:-1] = np.logical_or.reduce([part[order][1:] != part[order][:-1] for part in key])
    return order[last]


def _times(times: npt.NDArray[np.datetime64]) -> list[str]:
    distinct, which = np.unique(times, return_inverse=True)
    texts = [text.replace("T", " ") for text in np.datetime_as_string(distinct, unit="s").tolist()]
    return texts * len(times) if len(texts) == 1 else list(map(texts.__getitem__, which.tolist()))


def _ranks(texts: pa.ChunkedArray) -> Int64s:
    encoded = pc.cast(texts, pa.string()).combine_chunks().dictionary_encode()
    ranks = np.argsort(np.asarray(pc.sort_indices(encoded.dictionary)))
    return ranks[np.asarray(encoded.indices)]


def metric_rows(metrics: pa.Table) -> list[tuple[Any, ...]]:
    """`metric_columns`, a tuple a row."""
    return list(zip(*metric_columns(metrics), strict=True))


def row_json(row: tuple[Any, ...], kind: RowKind = PAGES) -> bytes:
    """A row of a table of result rows as a JSON object; the hash as hexadecimal text."""
    cells = (cell.hex() if isinstance(cell, bytes) else cell for cell in row)
    return orjson.dumps(dict(zip(columns_of(kind), cells, strict=True)))


def mysql_literals(columns: Columns) -> list[str]:
    """The rows as they stand behind VALUES in a MySQL statement, `(…)` each: eight times as fast as by the driver.

    For the character set utf8mb4 and an SQL mode without NO_BACKSLASH_ESCAPES. A number that is not finite, for which
    there is no literal, becomes a too large one, which the server refuses.
    """
    return ["(" + ",".join(row) + ")" for row in zip(*map(_literals, columns), strict=True)]


def _literals(column: list[Any]) -> Iterable[str]:
    if column[0] is None and column.count(None) == len(column):
        return repeat("null", len(column))
    sample = next(cell for cell in column if cell is not None)
    if isinstance(sample, str):
        return _text_literals(column)
    if isinstance(sample, bytes):
        return ["null" if cell is None else f"X'{cell.hex()}'" for cell in column]
    return _number_literals(column)


def _text_literals(column: list[Any]) -> list[str]:
    given = [cell for cell in column if cell is not None] if None in column else column
    if any(map("".join(given).__contains__, _SPECIAL)):
        return ["null" if cell is None else f"'{escape_string(cell)}'" for cell in column]
    return ["null" if cell is None else f"'{cell}'" for cell in column]


def _number_literals(column: list[Any]) -> list[str]:
    """In JSON's form, which SQL reads alike, `null` too: a tenth of `repr`'s time."""
    literals = orjson.dumps(column)[1:-1].decode().split(",")
    if literals.count("null") == column.count(None):
        return literals
    return [
        "1e999" if literal == "null" and cell is not None else literal
        for literal, cell in zip(literals, column, strict=True)
    ]


def split_unkeyable(metrics: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows that the key can tell apart, and those it can't: MySQL's `utf8mb4_bin` ignores blanks at a country's, or site's, end."""
    blank_ended = pc.ends_with(metrics[kind_of(metrics.column_names).key[1]], " ")
    if not pc.any(blank_ended).as_py():
        return metrics, metrics.slice(0, 0)
    return metrics.filter(pc.invert(blank_ended)), metrics.filter(blank_ended)


def dead_letter_columns(rejected: pa.Table, *, code_version: str, rejected_at: datetime) -> Columns:
    """Rejected records (REJECTED_SCHEMA) as columns of `dead_letters`, sorted by primary key, each record once.

    A detail is cut to 2,000 characters; `raw` stays as it is.
    """
    frame = pl.DataFrame(pl.from_arrow(rejected))
    keys = list(map(dead_letter_key, *(frame[name].to_list() for name in ("source", "position", "raw"))))
    rows = frame.with_columns(
        pl.Series("dead_letter_id", keys, dtype=pl.Binary),
        pl.col("record_timestamp").dt.strftime(f"{_SECONDS}%.3f"),
        pl.col("detail").str.head(DETAIL_LENGTH),
        pl.lit(code_version).alias("code_version"),
        pl.lit(rejected_at.strftime(_SECONDS)).alias("rejected_at"),
    )
    rows = rows.sort("dead_letter_id").unique("dead_letter_id", keep="first", maintain_order=True)
    return [rows[column.name].to_list() for column in dead_letters_table().columns]
