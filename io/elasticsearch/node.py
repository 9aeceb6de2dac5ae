"""The client's connections, made so that one that was dropped on the way, without a word, costs no whole time limit."""

import socket
import time
from contextlib import suppress
from queue import Empty
from typing import Any

from elastic_transport import HttpHeaders, NodeConfig, TransportError, Urllib3HttpNode
from elastic_transport.client_utils import DEFAULT

from clickstream.io.elasticsearch.dialect import as_elasticsearch, is_elasticsearch, is_opensearch, plain

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
    """One server. Connections that have been idle are closed before the next request, which opens another. OpenSearch is spoken to in its dialect."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self.pool.conn_kw["socket_options"] = _socket_options()
        self._used = time.monotonic()
        self.is_opensearch = False

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: Any = DEFAULT,
    ) -> Any:
        """As the client's own. What answers without Elasticsearch's name is asked who it is; OpenSearch then gets the request in its own terms."""
        asked = headers or HttpHeaders()
        if not self.is_opensearch:
            answer = self._request(method, target, body, asked, request_timeout)
            if is_elasticsearch(answer.meta) or not self._says_opensearch(asked, request_timeout):
                return answer
            self.is_opensearch = True
        answer = self._request(method, target, body, plain(asked), request_timeout)
        return answer._replace(meta=as_elasticsearch(answer.meta, asked.get("accept") or ""))

    def _says_opensearch(self, asked: HttpHeaders, request_timeout: Any) -> bool:
        headers = plain({name: value for name, value in asked.items() if name.lower() != "content-type"})
        with suppress(TransportError):
            meta, body = self._request("GET", "/", None, headers, request_timeout)
            return is_opensearch(meta.status, body)
        return False

    def _request(self, method: str, target: str, body: bytes | None, headers: HttpHeaders, seconds: Any) -> Any:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._close_idle()
        try:
            return super().perform_request(method, target, body, headers, seconds)
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
