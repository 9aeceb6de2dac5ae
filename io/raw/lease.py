"""One reprocessing job at a time, over a store in a database: held by a connection, or by a lock on the SQLite file's neighbour."""

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clickstream.io.errors import UserError
from clickstream.io.sql import SqlConnection, one_line_errors

_WAIT_SECONDS, _HELD_SECONDS = 2, 30 * 86_400


class LeaseTakenError(UserError):
    """Another job holds the lease: it may pass by itself."""


@contextmanager
def sql_lease(connection: SqlConnection, table: str) -> Iterator[None]:
    """Holds the lease; it ends with the process or the connection, however they end.

    Raises:
        UserError: Another job holds it.
    """
    held = _file_lock(Path(f"{connection.database}.lock")) if connection.is_sqlite else _named_lock(connection, table)
    with held:
        yield


def taken(place: str) -> UserError:
    """What to say when another job holds the lease."""
    return LeaseTakenError(f"{place}: another job reprocesses it. Wait until it has ended.")


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken(str(path)) from None
        yield


@contextmanager
def _named_lock(connection: SqlConnection, table: str) -> Iterator[None]:
    with one_line_errors(connection):
        opened = connection.engine().raw_connection()
        cursor = opened.cursor()
        cursor.execute(f"SET SESSION wait_timeout = {_HELD_SECONDS}")  # the connection only waits
        # A lock's name is of the whole server, and 64 characters at most. MySQL 9 has no MD5.
        cursor.execute("SELECT GET_LOCK(LEFT(SHA2(CONCAT(DATABASE(), '.', %s), 256), 60), %s)", (table, _WAIT_SECONDS))
        held = cursor.fetchone()[0] == 1
    with closing(opened):
        if not held:
            raise taken(connection.place)
        yield
