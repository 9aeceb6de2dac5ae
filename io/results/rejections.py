"""Why records were rejected, out of the dead letters of SQLite, MySQL or MariaDB."""

from typing import NamedTuple

import sqlalchemy as sa

from clickstream.io.sql import SqlConnection, dead_letters_table, one_line_errors

RAW_SHOWN = 200
_MOST_REASONS = 50
# Their details name a field, in the terms of the event format, and never a value: few different ones.
_OF_FIELDS = ("missing_field", "wrong_type", "out_of_range", "field_too_long", "invalid_timestamp")


class Rejection(NamedTuple):
    """A reason, of fields a reason and a field, how many records were rejected for it, and one of them.

    `raw` is cut to RAW_SHOWN of its `raw_bytes` bytes.
    """

    reason: str
    records: int
    source: str
    position: int
    detail: str
    raw: bytes
    raw_bytes: int


def read_rejections(connection: SqlConnection) -> list[Rejection]:
    """Each reason, of fields each detail of it, those of the most records first, with one of them.

    Raises:
        UserError: The database can't be read.
    """
    table = dead_letters_table(connection.dead_letters_table)
    columns, count, some = table.c, sa.func.count().label("records"), sa.func.min(table.c.dead_letter_id).label("some")
    what = sa.case((columns.reason.in_(_OF_FIELDS), columns.detail), else_="")
    reasons = sa.select(columns.reason, count, some).group_by(columns.reason, what).subquery()
    shown = sa.func.substr(columns.raw, 1, RAW_SHOWN, type_=sa.LargeBinary)
    cells = (
        columns.reason,
        reasons.c.records,
        columns.source,
        columns.position,
        columns.detail,
        shown,
        sa.func.length(columns.raw),
    )
    question = sa.select(*cells).join(reasons, columns.dead_letter_id == reasons.c.some)
    question = question.order_by(reasons.c.records.desc(), columns.reason, columns.detail).limit(_MOST_REASONS)
    with one_line_errors(connection), connection.engine().connect() as opened:
        return [Rejection._make((*row[:5], bytes(row[5]), row[6])) for row in opened.execute(question)]
