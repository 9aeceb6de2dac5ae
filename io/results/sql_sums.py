"""Sums out of SQLite, MySQL and MariaDB."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_rows import conditions_of, read_sql_rows
from clickstream.io.results.sums import SUMS_SCHEMA, Extent, Group, GroupSums
from clickstream.io.sql import SqlConnection, column_types, one_line_errors, page_metrics_table

_SUMMED = ("clicks", "timed_clicks", "sessions", "bounces", "time_spent_seconds")
_GROUPS = {"url": "url_hash", "country": "country"}


@dataclass(frozen=True)
class SqlStore:
    """The table of result rows of a connection."""

    connection: SqlConnection

    @property
    def place(self) -> str:
        """Where it is, for people to read."""
        return self.connection.place

    @property
    def _table(self) -> sa.Table:
        return page_metrics_table(self.connection.metrics_table)

    def extent(self) -> Extent | None:
        """See `Store`."""
        start, end, text = sa.column("window_start"), sa.column("window_end"), column_types.time_as_text
        first, last = (
            sa.select(text(start).label("start"), text(end).label("end"))
            .select_from(self._table)
            .order_by(order)
            .limit(1)
            for order in (start, start.desc())
        )
        with one_line_errors(self.connection), self.connection.engine().connect() as opened:
            found = [row for question in (first, last) for row in opened.execute(question)]
        if not found:
            return None
        (begin, _), (start, end) = (map(_utc, row) for row in found)
        return Extent(begin, end, round((end - start).total_seconds()))

    def by_time(self, wanted: RowFilter) -> pa.Table:
        """See `Store`."""
        table, start, text = self._table, sa.column("window_start"), column_types.time_as_text
        times = (text(start).label("start"), text(sa.func.max(sa.column("window_end"))))
        sums = (sa.func.sum(sa.column(name)) for name in _SUMMED)
        question = sa.select(*times, sa.func.count(), *sums).select_from(table)
        question = question.where(*conditions_of(table, wanted)).group_by(start).order_by(start)
        columns = list(zip(*self._ask(question), strict=True)) or [()] * 8
        names = ("window_start", "window_end", "rows", *_SUMMED)
        cells = dict(zip(names, columns, strict=True))
        return pa.table([_array(cells[field.name], field.type) for field in SUMS_SCHEMA], SUMS_SCHEMA)

    def top(self, group: Group, wanted: RowFilter, most: int) -> tuple[int, list[GroupSums]]:
        """See `Store`."""
        table, key, name = self._table, sa.column(_GROUPS[group]), sa.func.min(sa.column(group))
        clicks = sa.func.sum(sa.column("clicks"))
        others = (
            sa.func.sum(sa.column(each)) for each in ("timed_clicks", "time_spent_seconds", "sessions", "bounces")
        )
        question = sa.select(sa.func.count().over(), name, clicks, *others).select_from(table)
        question = question.where(*conditions_of(table, wanted)).group_by(key).having(clicks > 0)
        found = self._ask(question.order_by(clicks.desc(), name).limit(most))
        return (int(found[0][0]) if found else 0), [_sums(*row[1:]) for row in found]

    def rows(self, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
        """See `Store`."""
        return read_sql_rows(self.connection, wanted, columns)

    def _ask(self, question: Any) -> list[Any]:
        with one_line_errors(self.connection), self.connection.engine().connect() as opened:
            return list(opened.execute(question))


def sqlite_store(path: Path) -> SqlStore:
    """The table of result rows of an SQLite file, which is there."""
    return SqlStore(SqlConnection("sqlite", str(path)))


def _array(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return column_types.times_from_text(cells, kind)
    number = int if pa.types.is_integer(kind) else float  # MySQL adds up to decimals
    return pa.array([None if cell is None else number(cell) for cell in cells], kind)


def _sums(name: str, clicks: Any, timed: Any, seconds: Any, sessions: Any, bounces: Any) -> GroupSums:
    counted = (None if count is None else int(count) for count in (sessions, bounces))
    return GroupSums(name, int(clicks), int(timed), float(seconds), *counted)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
