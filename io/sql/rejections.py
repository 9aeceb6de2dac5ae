"""Why records were rejected, out of the dead letters of SQLite, MySQL or MariaDB."""

import sqlalchemy as sa

from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import one_line_errors
from clickstream.io.sql.tables import dead_letters_table
from clickstream.page.report_figures import RAW_SHOWN, Rejection

_MOST_REASONS = 50


def read_rejections(connection: SqlConnection) -> list[Rejection]:
    """Each reason, those of the most records first, with one of them.

    Raises:
        UserError: The database can't be read.
    """
    table = dead_letters_table(connection.dead_letters_table)
    columns, count, some = table.c, sa.func.count().label("records"), sa.func.min(table.c.dead_letter_id).label("some")
    reasons = sa.select(columns.reason, count, some).group_by(columns.reason).subquery()
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
    question = question.order_by(reasons.c.records.desc(), columns.reason).limit(_MOST_REASONS)
    with one_line_errors(connection), connection.engine().connect() as opened:
        return [Rejection._make((*row[:5], bytes(row[5]), row[6])) for row in opened.execute(question)]
