"""Sessions with Cassandra: one a process and place, and what the driver's errors mean."""

import logging
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clickstream.io.errors import UserError
from clickstream.io.raw.store import RawStoreUnavailableError
from clickstream.io.secrets import check_secret_reference, resolve_secret

_CONNECT_SECONDS, _REQUEST_SECONDS, _RECONNECT_SECONDS = 10, 20, 1.0
_MISSING = "--raw_store=cassandra needs the Cassandra driver: pip install 'clickstream-beam[cassandra]'."
_sessions: dict[tuple[Any, int], Any] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class CassandraPlace:
    """Where Cassandra is, and who asks. Holds no secret.

    Attributes:
        hosts: `HOST:PORT`, several with commas, all of one port.
        user: The account; None for none.
        password: Reference to its password, see `check_secret_reference`.
        tls_ca: Certificate authority's file, to talk TLS only.
    """

    hosts: str
    user: str | None = None
    password: str | None = None
    tls_ca: str | None = None

    def __post_init__(self) -> None:
        self.contact_points()
        if self.password is not None:
            check_secret_reference(self.password)

    def contact_points(self) -> tuple[list[str], int]:
        """Hosts and port.

        Raises:
            UserError: They aren't of that form.
        """
        pairs = [place.strip().rpartition(":") for place in self.hosts.split(",")]
        ports = {port for _, _, port in pairs}
        if not all(host for host, _, _ in pairs) or len(ports) != 1 or not next(iter(ports)).isdigit():
            message = "--cassandra takes HOST:PORT, several with commas, all of one port."
            raise UserError(message)
        return [host for host, _, _ in pairs], int(ports.pop())


def session_at(place: CassandraPlace) -> Any:
    """This process's session; connects at the first call, and again after one that failed.

    Raises:
        RawStoreUnavailableError: Nothing answers.
        UserError: The driver is missing, or the login is refused.
    """
    key = (place, os.getpid())
    with _lock:
        if key not in _sessions:
            with one_line_errors(f"Cassandra at {place.hosts}"):
                _sessions[key] = _cluster(place).connect()
        return _sessions[key]


def _cluster(place: CassandraPlace) -> Any:
    try:
        from cassandra import ConsistencyLevel
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
        from cassandra.query import tuple_factory
    except ImportError:
        raise UserError(_MISSING) from None
    logging.getLogger("cassandra.cluster").addFilter(_worth_saying)
    hosts, port = place.contact_points()
    password = resolve_secret(place.password) if place.password else None
    return Cluster(
        hosts,
        port,
        auth_provider=PlainTextAuthProvider(place.user, password) if place.user else None,
        ssl_context=ssl.create_default_context(cafile=place.tls_ca) if place.tls_ca else None,
        connect_timeout=_CONNECT_SECONDS,
        reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_SECONDS, max_attempts=None),
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(
                TokenAwarePolicy(DCAwareRoundRobinPolicy()),
                consistency_level=ConsistencyLevel.LOCAL_QUORUM,
                request_timeout=_REQUEST_SECONDS,
                row_factory=tuple_factory,
            )
        },
    )


def _worth_saying(record: logging.LogRecord) -> bool:
    """That the driver asks for the newest protocol first, and the server answers with its own, is no warning."""
    return not str(record.msg).startswith("Downgrading core protocol version")


@contextmanager
def one_line_errors(place: str) -> Iterator[None]:
    """Turns the driver's errors into a line of text, without statements, rows or secrets."""
    try:
        yield
    except Exception as error:
        found = _explained(place, error)
        if found is None:
            raise
    else:
        return
    raise found


def _explained(place: str, error: Exception) -> UserError | None:
    import cassandra
    from cassandra.cluster import NoHostAvailable
    from cassandra.connection import ConnectionException

    causes = list(getattr(error, "errors", {}).values()) if isinstance(error, NoHostAvailable) else [error]
    if any(isinstance(cause, cassandra.AuthenticationFailed) for cause in causes):
        return UserError(f"{place} refuses the login: correct --cassandra_user and --cassandra_password.")
    if isinstance(error, cassandra.Unauthorized):
        return UserError(f"{place}: the account lacks a right: GRANT it CREATE, SELECT and MODIFY on the keyspace.")
    if isinstance(error, (cassandra.InvalidRequest, cassandra.ConfigurationException)):
        return UserError(f"{place}: a keyspace, table or column is missing or other: run setup-sinks.")
    if isinstance(error, (NoHostAvailable, ConnectionException, OSError)):
        return RawStoreUnavailableError(f"{place}: nothing answers: start it, or correct host and port.")
    if isinstance(error, cassandra.DriverException):  # time-outs, overload, too few replicas
        return RawStoreUnavailableError(f"{place}: {type(error).__name__}: look at its load and its nodes' state.")
    return None
