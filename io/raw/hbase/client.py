"""Calls to HBase's Thrift server: one connection, opened again after an error, which is told in one line."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from clickstream.io.errors import UserError
from clickstream.io.raw.hbase.errors import classify

_TIMEOUT_SECONDS = 20.0
_IDLE_SECONDS = 30.0  # the server ends a connection that was silent for 60
_FIRST_ROWS, _PAGE_ROWS, _PAGE_BYTES = 1_000, 5_000, 16 << 20
_DELETED_ROWS = 2_000


class HBaseClient:
    """One connection, for one thread.

    Attributes:
        server, place: The server, and its table, for people to read.
    """

    def __init__(self, address: str, table: str) -> None:
        self.server = f"HBase at {address}"
        self.place, self._address = f"{self.server}, table {table}", address
        self._connection: Any = None
        self._used = 0.0
        self._happybase = _happybase()
        self._structs = import_module("Hbase_thrift")  # happybase makes it

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of Hbase.thrift.

        Raises:
            UserError: It failed; `RawStoreUnavailableError` if that may pass.
        """
        with self._one_line_errors():
            return getattr(self._opened().client, method)(*arguments)

    def mutate(self, message: bytes) -> None:
        """Sends a call of `mutateRows`, and takes its answer."""
        with self._one_line_errors():
            opened = self._opened()
            opened.transport.write(message)
            opened.transport.flush()
            opened.client._recv("mutateRows")  # noqa: SLF001 - no other way to read the answer to a call made by hand

    def struct(self, kind: str, /, **fields: Any) -> Any:
        """A struct of Hbase.thrift."""
        return getattr(self._structs, kind)(**fields)

    def put(self, table: bytes, row: bytes, cells: dict[bytes, bytes]) -> None:
        """Writes cells of one row."""
        self.call("mutateRow", table, row, [self.mutation(*cell) for cell in cells.items()], {})

    def mutation(self, column: bytes, value: bytes) -> Any:
        """One cell to be written."""
        return self.struct("Mutation", column=column, value=value)

    def pages(
        self, table: bytes, start: bytes, end: bytes, columns: Sequence[bytes] = (), only: bytes | None = None
    ) -> Iterator[list[Any]]:
        """Rows (`TRowResult`) in [start, end), of those columns and through that filter, by pages.

        Each page is a scan of its own: one held open expires when what takes the rows is slow.
        """
        rows = _FIRST_ROWS
        while True:
            page = self._page(rows, table, startRow=start, stopRow=end, columns=list(columns), filterString=only)
            if page:
                yield page
            if len(page) < rows:
                return
            start = page[-1].row + b"\0"
            size = sum(len(cell.value) for row in page for cell in row.columns.values())
            rows = max(1, min(_PAGE_ROWS, rows * _PAGE_BYTES // max(size, 1)))

    def _page(self, rows: int, table: bytes, **scan: Any) -> list[Any]:
        scanner = self.call("scannerOpenWithScan", table, self.struct("TScan", caching=rows, **scan), {})
        with _without_collection():
            found: list[Any] = self.call("scannerGetList", scanner, rows)
        self.call("scannerClose", scanner)
        return found

    def delete(self, table: bytes, families: Sequence[bytes], rows: Sequence[Any]) -> None:
        """Removes rows that a scan gave, as old as they are there.

        The time of a deletion hides what is written in the same millisecond or before: it is that of the newest cell seen, not the present, so
        that a click written again at once is there.
        """
        for start in range(0, len(rows), _DELETED_ROWS):
            part = rows[start : start + _DELETED_ROWS]
            seen = max(cell.timestamp for row in part for cell in row.columns.values())
            deletions = [self.struct("Mutation", isDelete=True, column=family) for family in families]
            batches = [self.struct("BatchMutation", row=row.row, mutations=deletions) for row in part]
            self.call("mutateRowsTs", table, batches, seen, {})

    def close(self) -> None:
        """Ends the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _opened(self) -> Any:
        now, used = time.monotonic(), self._used
        self._used = now
        if now - used > _IDLE_SECONDS:
            self.close()
        if self._connection is None:
            host, port = host_and_port(self._address)
            connection = self._happybase.Connection(host, port, timeout=int(_TIMEOUT_SECONDS * 1000), autoconnect=False)
            connection.open()
            self._connection = connection
        return self._connection

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        """After any error the connection is dropped: an answer may still be under way."""
        problem = None
        try:
            yield
        except BaseException as error:
            self.close()
            problem = classify(error, self.place, _TIMEOUT_SECONDS)
            if problem is None:
                raise
        if problem:
            raise problem from None


@contextmanager
def _without_collection() -> Iterator[None]:
    """An answer is an object a cell, none of them garbage: to look for it there is 40 % of the cost of reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT.

    Raises:
        UserError: It isn't that.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        message = f"--hbase={address}: write HOST:PORT, of HBase's Thrift server."
        raise UserError(message)
    return host, int(port)


def _happybase() -> Any:
    try:
        return import_module("happybase")
    except ImportError:
        message = "--raw_store=hbase needs happybase: pip install 'clickstream-beam[hbase]'"
        raise UserError(message) from None
