"""The client's connections, made so that one that was dropped on the way, without a word, costs no whole time limit."""

import socket
import time
from contextlib import suppress
from queue import Empty
from typing import Any

from elastic_transport import NodeConfig, Urllib3HttpNode

IDLE_SECONDS = (
    20.0  # firewalls and balancers forget a silent connection after a minute or more; opening another takes some ms
)
_LOST_SECONDS = 15  # so long after the last sign of life of the other side a connection under way is given up


def _socket_options() -> list[tuple[int, int, int]]:
    """Asks the other side for signs of life, where the system can; what is sent and not taken is given up likewise."""
    wanted = (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", _LOST_SECONDS * 1000),
    )
    tcp = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    return [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *tcp]


class FreshNode(Urllib3HttpNode):
    """One server. Connections that have been idle are closed before the next request, which opens another."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.pool.conn_kw["socket_options"] = _socket_options()
        self._used = time.monotonic()

    def perform_request(self, *arguments: Any, **options: Any) -> Any:
        """As the client's own."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._close_idle()
        try:
            return super().perform_request(*arguments, **options)
        finally:
            self._used = time.monotonic()

    def _close_idle(self) -> None:
        """Those in the pool: whoever is under way has his own. They open themselves again."""
        waiting: list[Any] = []
        with suppress(Empty):
            while self.pool.pool is not None:
                waiting.append(self.pool.pool.get_nowait())
        for connection in waiting:
            if connection is not None:
                connection.close()
            self.pool._put_conn(connection)  # noqa: SLF001 (urllib3 has no other way to give one back)
