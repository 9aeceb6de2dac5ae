"""What errors of a database, and options that make no sense, say."""

import sqlite3

import pymysql
import pytest
from apache_beam.internal.cloudpickle import cloudpickle

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.secrets import SecretError

CANARY = "CANARY8c2e"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (pymysql.err.OperationalError(1213, f"Deadlock {CANARY}"), sql.ErrorKind.RETRY, "1213 LOCK_DEADLOCK"),
        (pymysql.err.OperationalError(2013, "Lost connection"), sql.ErrorKind.RETRY, "2013 CR_SERVER_LOST"),
        (pymysql.err.InterfaceError(0, ""), sql.ErrorKind.RETRY, "connection lost"),
        (pymysql.err.OperationalError(1644, CANARY), sql.ErrorKind.RETRY, "1644 SIGNAL_EXCEPTION"),
        (ConnectionResetError(104, CANARY), sql.ErrorKind.RETRY, "connection lost"),
        (
            pymysql.err.OperationalError(1114, f"The table '{CANARY}' is full"),
            sql.ErrorKind.RETRY,
            "1114 RECORD_FILE_FULL",
        ),
        (
            pymysql.err.DataError(1406, "Data too long for column 'url' at row 1"),
            sql.ErrorKind.REFUSED,
            "1406 DATA_TOO_LONG, column url",
        ),
        (
            pymysql.err.DataError(1366, f"Incorrect string value: '{CANARY}' for column `a`.`b`.`country` at row 1"),
            sql.ErrorKind.REFUSED,
            "1366 TRUNCATED_WRONG_VALUE_FOR_FIELD, column country",
        ),
        (
            pymysql.err.OperationalError(1045, f"Access denied {CANARY}"),
            sql.ErrorKind.FATAL,
            "1045 ACCESS_DENIED_ERROR",
        ),
        (pymysql.err.ProgrammingError(1064, f"near '{CANARY}'"), sql.ErrorKind.FATAL, "1064 PARSE_ERROR"),
        (pymysql.err.ProgrammingError(CANARY), sql.ErrorKind.FATAL, "driver error"),
        (sqlite3.OperationalError("database is locked"), sql.ErrorKind.RETRY, "database is locked"),
        (sqlite3.IntegrityError(f"{CANARY} by a trigger"), sql.ErrorKind.RETRY, "a trigger refuses"),
        (
            sqlite3.IntegrityError("NOT NULL constraint failed: t.url"),
            sql.ErrorKind.REFUSED,
            "NOT NULL constraint failed: t.url",
        ),
    ],
)
def test_what_errors_mean(error, kind, text):
    problem = sql.classify(error)
    assert problem.kind is kind
    assert problem.text == text


def test_other_errors_are_not_judged():
    assert sql.classify(KeyError("x")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"drivername": "postgresql"},
        {"drivername": "mysql+pymysql", "database": "a`b"},
        {"metrics_table": "x; DROP TABLE y"},
        {"dead_letters_table": ""},
    ],
)
def test_connections_that_are_refused(fields):
    with pytest.raises(UserError):
        sql.SqlConnection(**({"drivername": "sqlite", "database": "x.db"} | fields))


def test_a_literal_password_is_refused_and_not_repeated():
    with pytest.raises(SecretError) as raised:
        sql.SqlConnection("mysql+pymysql", "app", "localhost", password=CANARY)
    assert CANARY not in str(raised.value)


def test_the_password_is_nowhere_but_on_the_worker(monkeypatch):
    monkeypatch.setenv("CLICKS_PASSWORD", CANARY)
    connection = sql.SqlConnection("mysql+pymysql", "app", "localhost", password="env:CLICKS_PASSWORD")
    for transform in (sql.WriteToSql(connection), sql.WriteDeadLettersToSql(connection)):
        assert CANARY.encode() not in cloudpickle.dumps(transform)
    assert CANARY not in repr(connection.engine())


@pytest.mark.parametrize("options", [{"batch_rows": 0}, {"retry_seconds": -1}])
def test_options_that_make_no_sense(connection, options):
    with pytest.raises(UserError, match="at least"):
        sql.WriteToSql(connection, **options)
