"""Stored procedures and views of MySQL and MariaDB: made where they are missing, and changed only by `setup-sinks`, so that who may use them stays.

A procedure carries its version in its comment. MariaDB replaces one and keeps the grants on it; MySQL can only drop it, so they are granted anew.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, NamedTuple

import pymysql
import sqlalchemy as sa
from pymysql.constants import ER

from clickstream.io.errors import UserError
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import DENIED, denied
from clickstream.io.sql.setup import execute_as_is

_log = logging.getLogger(__name__)
_SEES_PROCEDURES = re.compile(
    r"GRANT [^`]*(?:EXECUTE|ROUTINE|ALL PRIVILEGES)[^`]* ON (?:PROCEDURE )?(?:(\*)|`([^`]*)`)\."
)


class Procedure(NamedTuple):
    """A stored procedure: its name, the statement that creates it, and the comment by which its version is known."""

    name: str
    statement: str
    comment: str

    @property
    def body(self) -> str:
        """What it does, without blanks that mean nothing."""
        return " ".join(self.statement[self.statement.index("BEGIN") :].split())


class _Found(NamedTuple):
    comment: str
    body: str | None  # None: this account may not see it

    def is_same(self, wanted: Procedure) -> bool:
        return self.comment == wanted.comment or self.body == wanted.body


def procedures(metrics_table: str = "page_metrics") -> list[Procedure]:
    """Those of `sql/procedures.sql`, for a table of this name."""
    return [
        _versioned(text) for text in _statements("procedures.sql", "$$", metrics_table) if text.startswith("CREATE")
    ]


def views(metrics_table: str = "page_metrics") -> dict[str, str]:
    """The statements of `sql/views.sql` by the view's name, which begins with the table's."""
    statements = _statements("views.sql", ";", metrics_table)
    return {str(re.findall(r"VIEW `(\w+)`", statement)[0]): statement for statement in statements}


def _statements(script: str, delimiter: str, metrics_table: str) -> Iterator[str]:
    text = resources.files("clickstream.sql").joinpath(script).read_text(encoding="utf-8")
    statements = re.sub(r"^(--|DELIMITER).*\n", "", text, flags=re.MULTILINE).split(delimiter)
    named = (re.sub(r"`page_metrics(\w*)`", rf"`{metrics_table}\1`", part).strip() for part in statements)
    return filter(None, named)


def _versioned(statement: str) -> Procedure:
    name = re.findall(r"PROCEDURE (\w+)", statement)[0]
    comment = f"clickstream-beam {hashlib.sha256(statement.encode()).hexdigest()[:12]}"
    return Procedure(name, statement.replace("READS SQL DATA", f"COMMENT '{comment}'\nREADS SQL DATA", 1), comment)


def missing_routines(opened: sa.engine.Connection, metrics_table: str) -> list[str]:
    """Procedures and views that aren't there, for people to read. Of procedures none, where the account may see none."""
    present, known = _procedures_of(opened), _views_of(opened)
    named = procedures(metrics_table)
    absent = [f"stored procedure {wanted.name}" for wanted in named if wanted.name not in present]
    if len(absent) == len(named) and not _may_see_procedures(opened):
        absent = []
    return absent + [f"view {name}" for name in views(metrics_table) if name not in known]


def setup_routines(opened: sa.engine.Connection, connection: SqlConnection, *, renew: bool) -> None:
    """Creates the procedures and views that are missing.

    Args:
        opened: Holds the turn.
        connection: Where, for the errors.
        renew: Whether to change those of another version too. Else they stay, which is told.

    Raises:
        UserError: The account may not.
    """
    present = _procedures_of(opened)
    for procedure in procedures(connection.metrics_table):
        found = present.get(procedure.name)
        if found is None:
            _create(opened, connection, procedure)
        elif not found.is_same(procedure):
            if renew:
                _replace(opened, connection, procedure)
            else:
                _log.warning("Stored procedure %s is of another version: run setup-sinks to renew it.", procedure.name)
    known = _views_of(opened)
    for name, statement in views(connection.metrics_table).items():
        if renew or name not in known:
            with denied(connection, f"view {name}", "CREATE VIEW and DROP" if name in known else "CREATE VIEW"):
                execute_as_is(opened, statement if name in known else statement.replace("CREATE OR REPLACE", "CREATE"))


def _create(opened: sa.engine.Connection, connection: SqlConnection, procedure: Procedure) -> None:
    try:
        execute_as_is(opened, procedure.statement)
    except pymysql.err.MySQLError as error:
        code = error.args[0] if error.args else 0
        if code == ER.SP_ALREADY_EXISTS:  # there, but this account may not see it
            return
        if code in DENIED and not _may_see_procedures(opened):  # whether it is there can't be told: rows don't need it
            return
        with denied(connection, f"stored procedure {procedure.name}", "CREATE ROUTINE"):
            raise


def _replace(opened: sa.engine.Connection, connection: SqlConnection, procedure: Procedure) -> None:
    what = f"stored procedure {procedure.name} in this version"
    with denied(connection, what, "CREATE ROUTINE and ALTER ROUTINE"):
        if "MariaDB" in str(opened.exec_driver_sql("SELECT VERSION()").scalar()):
            execute_as_is(opened, procedure.statement.replace("CREATE", "CREATE OR REPLACE", 1))
            return
    grants = _grants_on(opened, connection, procedure.name)
    with denied(connection, what, "CREATE ROUTINE and ALTER ROUTINE"):
        execute_as_is(opened, f"DROP PROCEDURE IF EXISTS {procedure.name}")
        execute_as_is(opened, procedure.statement)
    for grant in grants:
        execute_as_is(opened, grant)


def _grants_on(opened: sa.engine.Connection, connection: SqlConnection, name: str) -> list[str]:
    """The statements that grant what is granted now; each is tried first, as nothing may be lost by the drop."""
    question = sa.text(
        "SELECT User, Host, Proc_priv FROM mysql.procs_priv"
        " WHERE Db = DATABASE() AND Routine_name = :name AND Routine_type = 'PROCEDURE'"
    )
    try:
        found = opened.execute(question, {"name": name}).all()
        grants = [_grant(opened, name, *map(_text, row)) for row in found]
        for grant in grants:
            execute_as_is(opened, grant)
    except (sa.exc.DBAPIError, pymysql.err.MySQLError) as error:
        cause = getattr(error, "orig", None) or error
        if cause.args and cause.args[0] in DENIED:
            message = (
                f"{connection.place}: stored procedure {name} is of another version, and replacing it would take from others what was granted"
                " to them: run setup-sinks with an account that has SELECT on mysql.procs_priv and GRANT OPTION, or drop the procedure first."
            )
            raise UserError(message) from None
        raise
    return grants


def _grant(opened: sa.engine.Connection, name: str, user: str, host: str, rights: str) -> str:
    database = opened.exec_driver_sql("SELECT DATABASE()").scalar()
    given = {right.strip() for right in rights.upper().split(",")}
    account = f"`{user.replace('`', '``')}`@`{host.replace('`', '``')}`"
    option = " WITH GRANT OPTION" if "GRANT" in given else ""
    plain = ", ".join(sorted(given - {"GRANT", ""})) or "USAGE"
    return f"GRANT {plain} ON PROCEDURE `{database}`.`{name}` TO {account}{option}"


def _text(cell: Any) -> str:
    return cell.decode() if isinstance(cell, bytes) else ",".join(cell) if isinstance(cell, set) else str(cell)


def _procedures_of(opened: sa.engine.Connection) -> dict[str, _Found]:
    """Those of the database that the account may see."""
    known = sa.text(
        "SELECT routine_name, routine_comment, routine_definition FROM information_schema.routines"
        " WHERE routine_schema = DATABASE() AND routine_type = 'PROCEDURE'"
    )
    rows = (tuple(map(_text_or_none, row)) for row in opened.execute(known))
    return {str(name): _Found(comment or "", body and " ".join(body.split())) for name, comment, body in rows}


def _text_or_none(cell: Any) -> str | None:
    return None if cell is None else _text(cell)


def _views_of(opened: sa.engine.Connection) -> set[str]:
    known = sa.text("SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()")
    return {name for (name,) in opened.execute(known)}


def _may_see_procedures(opened: sa.engine.Connection) -> bool:
    """Whether a procedure that isn't seen isn't there: some right on procedures shows them."""
    database = str(opened.exec_driver_sql("SELECT DATABASE()").scalar())
    grants = (_SEES_PROCEDURES.match(str(row[0])) for row in opened.exec_driver_sql("SHOW GRANTS"))
    places = (found[1] or found[2].replace("\\", "").replace("%", "*") for found in grants if found)
    return any(fnmatchcase(database, place) for place in places)
