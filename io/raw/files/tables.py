"""The index of kept clicks, an SQLite file: record batches, time buckets and logs; and how a run's piece goes into it, all at once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from clickstream.io.logs import KnownLog, LastLine
from clickstream.io.raw.files.parts import Batch, Part
from clickstream.io.raw.sql import buckets_table
from clickstream.io.sql import column_types

_META = sa.MetaData()
BATCHES = sa.Table(
    "batches",
    _META,
    sa.Column("part", column_types.text(64), nullable=False, primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False, primary_key=name == "number") for name in Batch._fields[1:]),
    sqlite_with_rowid=False,
)
BUCKETS = buckets_table("buckets")
LOGS = sa.Table(
    "logs",
    _META,
    sa.Column("number", sa.Integer, nullable=False, primary_key=True),
    sa.Column("path", column_types.text(), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("head_length", sa.BigInteger, nullable=False),
    sa.Column("head", column_types.KEY, nullable=False),
    sa.Column("last_start", sa.BigInteger, nullable=False),
    sa.Column("last_length", sa.BigInteger, nullable=False),
    sa.Column("last_digest", column_types.KEY, nullable=False),
)
NAME = sa.Table("name", _META, sa.Column("name", column_types.text(64), nullable=False, primary_key=True))
TABLES = [BATCHES, BUCKETS, LOGS, NAME]


@dataclass
class Piece:
    """What one run adds: parts of clicks, and how far its logs were read. All of it counts, or nothing."""

    parts: list[Part] = field(default_factory=list)
    last_lines: list[LastLine] = field(default_factory=list)

    @property
    def buckets(self) -> list[int]:
        """The time buckets of its clicks, in order."""
        return sorted({bucket for part in self.parts for bucket in part.buckets})


def add_piece(opened: sa.engine.Connection, piece: Piece, logs: Sequence[KnownLog]) -> None:
    """Adds a piece, within a transaction."""
    rows = [batch._asdict() for part in piece.parts for batch in part.batches]
    _insert(opened, BATCHES, rows)
    mark_buckets(opened, piece.buckets)
    for log in logs:
        if log.number is not None:
            opened.execute(LOGS.delete().where(LOGS.c.number == log.number))
    _insert(opened, LOGS, [_log_row(log) for log in logs])


def mark_buckets(opened: sa.engine.Connection, buckets: Sequence[int]) -> None:
    """Gives buckets a new mark, within a transaction."""
    known = {row.bucket for row in opened.execute(sa.select(BUCKETS.c.bucket))} if buckets else set()
    _insert(opened, BUCKETS, [{"bucket": at, "changed": os.urandom(16)} for at in buckets if at not in known])
    update = BUCKETS.update().where(BUCKETS.c.bucket == sa.bindparam("at")).values(changed=sa.bindparam("mark"))
    changed = [{"at": at, "mark": os.urandom(16)} for at in buckets if at in known]
    if changed:
        opened.execute(update, changed)


def known_logs(opened: sa.engine.Connection) -> list[KnownLog]:
    """The logs that were read, and how far."""
    return [
        KnownLog(row.path, row.size, row.head_length, row.head, last_line(row), row.number)
        for row in opened.execute(sa.select(LOGS))
    ]


def last_line(row: Any) -> LastLine:
    """The last line that was read of a log, of a row."""
    return LastLine(row.path, row.last_start, row.last_length, row.last_digest)


def _log_row(log: KnownLog) -> dict[str, Any]:
    last = {"last_start": log.last.start, "last_length": log.last.length, "last_digest": log.last.digest}
    return {"path": log.path, "size": log.size, "head_length": log.head_length, "head": log.head, **last}


def _insert(opened: sa.engine.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        opened.execute(table.insert(), rows)
