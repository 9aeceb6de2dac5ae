"""One reprocessing job at a time, over a store in HBase: a cell that its holder keeps writing."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from clickstream.io.errors import UserError
from clickstream.io.raw.hbase.client import HBaseClient
from clickstream.io.raw.lease import taken

_HELD_MS, _RENEW_SECONDS, _AGAIN_SECONDS = 60_000, 15.0, 5.0
_ROW, _HOLDER, _NOW = b"lease", b"state:holder", b"state:now"
_FREE = b"free"


@contextmanager
def hbase_lease(client: HBaseClient, table: bytes) -> Iterator[None]:
    """Holds the lease, with a connection of its own; a dead holder's ends after two minutes.

    Raises:
        UserError: Another job holds it, or has taken it over while this one couldn't reach the server.
    """
    with closing(client):
        lease = _Lease(client, table)
        lease.take()
        ended = threading.Event()
        renewing = threading.Thread(target=lease.renew_until, args=(ended,), daemon=True, name="raw store lease")
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            lease.release()
    if lease.lost:
        message = (
            f"{client.place}: it couldn't be reached for minutes, and another job reprocesses it since. "
            "Do this again when that has ended."
        )
        raise UserError(message)


class _Lease:
    def __init__(self, client: HBaseClient, table: bytes) -> None:
        self._client, self._table = client, table
        self._owner, self._turn, self._value = os.urandom(16), 0, b""
        self.lost = False

    def take(self) -> None:
        found = self._client.call("get", self._table, _ROW, _HOLDER, {})
        held = bool(found) and found[0].value != _FREE
        if held and self._server_time() - found[0].timestamp < _HELD_MS:
            raise taken(self._client.place)
        if not self._replace(found[0].value if found else None):
            raise taken(self._client.place)

    def _server_time(self) -> int:
        """The present of the server that gives the lease its time: no other clock matters."""
        self._client.put(self._table, _ROW, {_NOW: b""})
        return int(self._client.call("get", self._table, _ROW, _NOW, {})[0].timestamp)

    def _replace(self, old: bytes | None) -> bool:
        """Writes the next value where `old` still stands (None: nothing). A call that failed may have done it all the same.

        Each value is another one: who finds it unchanged knows that nobody has renewed it.
        """
        self._turn += 1
        new = self._owner + self._turn.to_bytes(8, "big")
        put = self._client.mutation(_HOLDER, new)
        done = bool(self._client.call("checkAndPut", self._table, _ROW, _HOLDER, old, put, {}))
        self._value = new if done else self._value
        return done

    def renew_until(self, ended: threading.Event) -> None:
        pause = _RENEW_SECONDS
        while not self.lost and not ended.wait(pause):
            pause = self._renew()

    def _renew(self) -> float:
        """Returns when to do it again."""
        try:
            self.lost = not self._renewed()
        except UserError:
            return _AGAIN_SECONDS
        return _RENEW_SECONDS

    def _renewed(self) -> bool:
        if self._replace(self._value):
            return True
        found = self._client.call("get", self._table, _ROW, _HOLDER, {})
        ours = bool(found) and found[0].value.startswith(self._owner)
        return ours and self._replace(found[0].value)

    def release(self) -> None:
        put = self._client.mutation(_HOLDER, _FREE)
        with suppress(UserError):  # it ends by itself
            self._client.call("checkAndPut", self._table, _ROW, _HOLDER, self._value, put, {})
