"""What the SQL drivers' errors mean, and how they are told to a person: without a statement, a row or a secret."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

import pymysql
from pymysql.constants import CR, ER

from clickstream.io.certificates import certificate_fault
from clickstream.io.errors import UserError
from clickstream.io.sql.connection import SqlConnection


class ErrorKind(Enum):
    """What to do about an error: send again, take the row out, or give up."""

    RETRY = "retry"
    REFUSED = "refused"
    FATAL = "fatal"


class Problem(NamedTuple):
    """An error of a driver without what may be secret or data: code and name, and the column if known; the cure, if it isn't the code's."""

    kind: ErrorKind
    code: int
    text: str
    cure: str = ""


_LOST_CONNECTION = Problem(ErrorKind.RETRY, 2006, "connection lost")
_NAMES = {code: name for part in (ER, CR) for name, code in vars(part).items() if isinstance(code, int)} | {
    1644: "SIGNAL_EXCEPTION",
    1927: "CONNECTION_KILLED",
    3159: "SECURE_TRANSPORT_REQUIRED",
    3819: "CHECK_CONSTRAINT_VIOLATED",
    4025: "CONSTRAINT_FAILED",
    4031: "CLIENT_INTERACTION_TIMEOUT",
}
_LOCKED = (1205, 1206, 1213, 3101)
_LOST = (0, 1152, 1158, 1159, 1160, 1161, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2014, 2055, 3024, 3032, 4031)
_BUSY_OR_STANDBY = (1040, 1053, 1203, 1226, 1290, 1792, 1836)
_DISK_FULL = (1021, 1030, 1114)
_NOT_REACHED, _TLS = 2003, 2026
_SIGNAL = 1644  # of a trigger: somebody's program refuses, whatever for
_TRANSIENT = frozenset((*_LOCKED, *_LOST, *_BUSY_OR_STANDBY, *_DISK_FULL, _SIGNAL))
_CONTENT = frozenset((1048, 1153, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1690, 3140, 3819, 4025))
DENIED = frozenset((1044, 1142, 1227, 1370))  # the account lacks a right
_CURES = {
    1021: "its disk is full: make room there",
    1030: "its storage fails, most often for want of room: look into its error log",
    1040: "it has no connection to spare: raise max_connections or stop other clients",
    1044: "the account may not use this database: GRANT it the rights on it",
    1045: "user name or password is wrong: correct them",
    1049: "there is no such database: create it, or name another",
    1054: "a column is missing: run setup-sinks, which says which and how to add it",
    1114: "the table or its disk is full: make room there",
    1050: "a table has the name of a view that setup-sinks makes: rename it",
    1142: "the account lacks a right: GRANT it SELECT, INSERT, UPDATE and DELETE on the database",
    1143: "the account lacks a right on a column: GRANT it SELECT, INSERT and UPDATE on the whole table",
    1146: "a table is missing: run setup-sinks, or name another database",
    1153: "a row is larger than the server takes: raise its max_allowed_packet",
    1205: "another client holds locks for long: look for long transactions",
    1290: "it is read-only: name the primary server",
    1347: "a table has the name of a view that setup-sinks makes: rename it",
    1370: "the account may not alter procedures: GRANT it CREATE ROUTINE and ALTER ROUTINE on the database",
    1644: "a trigger refuses to write: look at the triggers on its tables",
    1698: "the account can't log in this way: give it a password",
    1836: "it is read-only: name the primary server",
    2003: "nothing answers there: start the server, or correct host and port",
    2026: "TLS failed: check the CA file, and that the server talks TLS",
    3159: "it takes TLS connections only: give the CA file (tls_ca)",
}
_SQLITE_CURES = {
    "locked": "another program holds it: close that, or wait",
    "full": "its disk is full: make room there",
    "unable to open": "check that its folder exists and can be written",
    "readonly": "it can't be written: check its permissions",
    "no such table": "run setup-sinks, or name another file",
    "not a database": "name another file",
    "trigger": "look at the triggers on its tables",
}


_COLUMN = re.compile(r"column (?:`[^`]*`\.)*[`'](\w+)[`'](?: at row \d+| cannot be null)$", re.IGNORECASE)


_FILE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)  # not of the network


def classify(error: BaseException) -> Problem | None:
    """What a driver's error means; None if it is no such error. Never quotes a server: it may repeat values."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what happens while it connects
    if isinstance(cause, sqlite3.Error):
        return _classify_sqlite(cause)
    if isinstance(cause, pymysql.err.Error):
        return _classify_mysql(cause)
    lost = isinstance(cause, OSError) and not isinstance(cause, _FILE_ERRORS)
    return _LOST_CONNECTION if lost else None


def _classify_mysql(error: pymysql.err.Error) -> Problem:
    code = error.args[0] if error.args else 0
    if not isinstance(code, int):
        return Problem(ErrorKind.FATAL, 0, "driver error")
    if code == 0:  # so PyMySQL says that a connection broke while it wasn't looking
        return _LOST_CONNECTION
    refused = certificate_fault(str(error.args[-1])) if code in (_NOT_REACHED, _TLS) else None
    if refused:  # PyMySQL says of it that nothing can be reached
        return Problem(ErrorKind.FATAL, _TLS, *refused)
    kind = ErrorKind.RETRY if code in _TRANSIENT else ErrorKind.REFUSED if code in _CONTENT else ErrorKind.FATAL
    column = _COLUMN.search(str(error.args[-1])) if code in _CONTENT else None
    text = f"{code} {_NAMES.get(code, 'error')}" + (f", column {column[1]}" if column else "")
    return Problem(kind, code, text)


def _classify_sqlite(error: sqlite3.Error) -> Problem:
    text = str(error)
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError)):  # a trigger's RAISE too, in words of its own
        of_content = re.search("constraint failed|mismatch|too big|too large", text)
        return Problem(ErrorKind.REFUSED, 0, text) if of_content else Problem(ErrorKind.RETRY, 0, "a trigger refuses")
    transient = re.search("locked|busy|full|disk I/O", text)
    return Problem(ErrorKind.RETRY if transient else ErrorKind.FATAL, 0, text)


def explain(connection: SqlConnection, problem: Problem) -> UserError:
    """One line for a person: where, what, and what to do."""
    sqlite_cure = next(
        (cure for part, cure in _SQLITE_CURES.items() if part in problem.text), "move it away, or name another"
    )
    cure = (
        sqlite_cure
        if connection.is_sqlite
        else problem.cure or _CURES.get(problem.code, "look into the server's error log")
    )
    return UserError(f"{connection.place}: {problem.text}: {cure}.")


@contextmanager
def one_line_errors(connection: SqlConnection) -> Iterator[None]:
    """Turns a driver's error into a `UserError` that shows no statement, row or secret."""
    problem = None
    try:
        yield
    except Exception as error:
        problem = classify(error)
        if problem is None:
            raise
    if problem:
        raise explain(connection, problem)


@contextmanager
def denied(connection: SqlConnection, what: str, privilege: str) -> Iterator[None]:
    """Says of something that is missing, and that the account may not make, which right it takes, and who else could."""
    problem = None
    try:
        yield
    except Exception as error:
        problem = classify(error)
        if problem is None or problem.code not in DENIED:
            raise
    if problem:
        grant = f"GRANT it {privilege} on {connection.database}, or run setup-sinks with an account that has it"
        message = f"{connection.place}: {what} is missing, and this account may not make it ({problem.text}): {grant}."
        raise UserError(message)
