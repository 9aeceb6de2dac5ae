"""The connection to Elasticsearch: where it is and who asks, and requests whose failures are told in one line."""

import logging
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import orjson
from elastic_transport import ConnectionError as NoConnectionError
from elastic_transport import SerializationError, Serializer, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError

from clickstream.io.certificates import certificate_fault, check_ca_file
from clickstream.io.elasticsearch.errors import (
    BodyTooLargeError,
    ElasticsearchError,
    ElasticsearchUnavailableError,
    ForbiddenError,
    explain,
)
from clickstream.io.elasticsearch.node import FreshNode
from clickstream.io.errors import UserError
from clickstream.io.secrets import check_secret_reference, resolve_secret

# The dialect that servers 8 and 9 both speak; the client's own would shut out the 8s.
_JSON_TYPE, _NDJSON_TYPE = "application/vnd.elasticsearch+json", "application/vnd.elasticsearch+x-ndjson"
_JSON, _NDJSON = f"{_JSON_TYPE}; compatible-with=8", f"{_NDJSON_TYPE}; compatible-with=8"

_HOST = re.compile(r"https?://([^\s/:?#@\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}(/[^\s?#]*)?")
_API_KEY = re.compile(r"[A-Za-z0-9+/=_:.-]+")
_WORDS = {"api_key": "ApiKey", "basic_auth": "Basic"}
_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})
_CERTAIN = frozenset({401, 403, 404})  # of a bulk request: somebody has to do something


class _AsIs(Serializer):
    """Bytes stay bytes, both ways: bodies are made, and answers read, faster than the client would."""

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: bytes) -> bytes:
        return data


class _AsIsJson(_AsIs):
    mimetype: ClassVar[str] = _JSON_TYPE


class _AsIsNdjson(_AsIs):
    mimetype: ClassVar[str] = _NDJSON_TYPE


@dataclass(frozen=True)
class ElasticsearchConnection:
    """Where Elasticsearch is, and who asks. Holds references to secrets, never a secret.

    Attributes:
        hosts: `http://localhost:9200`; several are separated by commas.
        api_key: Reference to the API key, encoded as Elasticsearch hands it out. Instead of user and password.
        user: For basic authentication.
        password: Reference to the user's password.
        ca_certs: File with the certificate authority of an https server. None: those that the client comes with.
        verify: Whether to check an https server's certificate.
        request_timeout: Seconds to wait for an answer.
    """

    hosts: str = "http://localhost:9200"
    api_key: str | None = None
    user: str | None = None
    password: str | None = None
    ca_certs: str | None = None
    verify: bool = True
    request_timeout: float = 60.0

    def __post_init__(self) -> None:
        for host in self._host_list():
            _check_host(host)
        for reference in filter(None, (self.api_key, self.password)):
            check_secret_reference(reference)
        if (self.user is None) != (self.password is None) or (self.api_key and self.user):
            refuse("Elasticsearch: give either an API key, or a user and a password, or neither.")
        if self.ca_certs and "https:" not in self.hosts:
            refuse("Elasticsearch: ca_certs is for https; write https:// in the host, or leave ca_certs out.")
        if self.request_timeout <= 0:
            refuse("Elasticsearch: request_timeout is in seconds and must be more than 0.")

    def connect(self) -> Elasticsearch:
        """A client that retries nothing by itself. Resolves the secrets: call it in `setup()`, on the worker.

        Raises:
            SecretError: A reference leads nowhere.
            ElasticsearchError: The API key or the certificate file is not usable.
        """
        _quiet("elastic_transport")
        options: dict[str, Any] = {"verify_certs": self.verify} if "https:" in self.hosts else {}
        options |= self._certificates() | self._credentials()
        serializers: dict[str, Serializer] = {_JSON_TYPE: _AsIsJson(), _NDJSON_TYPE: _AsIsNdjson()}
        return Elasticsearch(
            self._host_list(),
            request_timeout=self.request_timeout,
            max_retries=0,
            node_class=FreshNode,
            serializers=serializers,
            **options,
        )

    def authorization(self) -> dict[str, str]:
        """The header by which the same account is known to Kibana; none without an account. Resolves the secrets.

        Raises:
            SecretError: A reference leads nowhere.
            ElasticsearchError: The API key is not usable.
        """
        return {"authorization": f"{_WORDS[kind]} {value}" for kind, value in self._credentials().items()}  # noqa: B035 (one at most)

    def _host_list(self) -> list[str]:
        return [host.strip() for host in self.hosts.split(",")]

    def _certificates(self) -> dict[str, Any]:
        if self.ca_certs is None:
            return {}
        try:
            check_ca_file(self.ca_certs, "--elasticsearch_ca (ca_certs)")
        except UserError as error:
            raise ElasticsearchError(str(error)) from None
        return {"ca_certs": self.ca_certs}

    def _credentials(self) -> dict[str, Any]:
        if self.user and self.password:
            pair = f"{self.user}:{resolve_secret(self.password)}"
            return {"basic_auth": b64encode(pair.encode()).decode()}  # the client's own encoding knows ASCII only
        if not self.api_key:
            return {}
        key = resolve_secret(self.api_key).strip()
        if not _API_KEY.fullmatch(key):  # the HTTP library would quote it in its error
            message = f"Elasticsearch: {self.api_key} holds no API key: put the encoded key there and nothing else."
            raise ElasticsearchError(message)
        return {"api_key": key}


def send_bulk(client: Elasticsearch, body: bytes) -> bytes:
    """Sends a bulk body, once, and returns the answer's `errors`, and `status` and `error` of its items, as JSON.

    Raises:
        ElasticsearchUnavailableError: It may succeed later.
        BodyTooLargeError: It may succeed in parts.
        ElasticsearchError: Somebody has to do something first.
    """
    wanted = {"filter_path": "errors,error,status,items.*.status,items.*.error"}
    answer = perform(client, "POST", "/_bulk", body, _NDJSON, wanted)
    return answer if isinstance(answer, bytes) else b""


def speaks_opensearch(client: Elasticsearch) -> bool:
    """Whether OpenSearch has answered this client."""
    return any(isinstance(node, FreshNode) and node.is_opensearch for node in client.transport.node_pool.all())


def _class_of(status: int, content: str) -> type[ElasticsearchError]:
    """What a status means. That a bulk request is refused for itself, which is as good as any, is no more than a state."""
    if status == 413:
        return BodyTooLargeError
    if status == 403:
        return ForbiddenError
    held = content == _NDJSON and 400 <= status < 500 and status not in _CERTAIN
    return ElasticsearchUnavailableError if held or status in _MAY_PASS else ElasticsearchError


def ask(client: Elasticsearch, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Sends an object and returns the answer's; errors as of `perform`."""
    return orjson.loads(perform(client, method, path, None if body is None else orjson.dumps(body)))


def perform(
    client: Elasticsearch,
    method: str,
    path: str,
    body: bytes | None = None,
    content: str = _JSON,
    params: Mapping[str, str] | None = None,
) -> Any:
    """Sends a request and returns the answer's bytes.

    Raises:
        ElasticsearchUnavailableError: It may pass by itself.
        ElasticsearchError: It won't: the request is refused, or this is no Elasticsearch.
    """
    headers = {"accept": _JSON} | ({} if body is None else {"content-type": content})
    try:
        return client.perform_request(method, path, params=params, headers=headers, body=body).body
    except (UnsupportedProductError, SerializationError):
        message = "What answers at this address is not Elasticsearch: check the host, the port, and proxies between."
        raise ElasticsearchError(message) from None
    except ApiError as error:
        raise _failure(error, content) from None
    except TlsError as error:
        what, cure = certificate_fault(str(error.message)) or (_last_part(error), "check http or https, and ca_certs")
        message = f"Elasticsearch: no TLS connection ({what}): {cure}."
        raise ElasticsearchError(message) from None
    except TransportError as error:  # other texts than a connection's could quote documents
        detail = _last_part(error) if isinstance(error, NoConnectionError) else type(error).__name__
        message = f"Elasticsearch can't be reached ({detail}): check that it runs, and its address."
        raise ElasticsearchUnavailableError(message) from None


def _failure(error: ApiError, content: str) -> ElasticsearchError:
    """The error for a failed request. Its reason is repeated where the request held no documents."""
    status, found = error.meta.status, _error_of(error.body)
    kind, reason = str(found.get("type", "")), " ".join(str(found.get("reason", "")).split())
    detail = "".join((f" {kind}" if kind else "", f" ({reason[:300]})" if content == _JSON and reason else ""))
    return _class_of(status, content)(f"Elasticsearch answered {status}{detail}: {explain(status, kind)}.")


def _error_of(body: Any) -> dict[str, Any]:
    try:
        error = orjson.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        return {}
    return error if isinstance(error, dict) else {}


def _last_part(error: TransportError) -> str:
    """What went wrong at the bottom of a chain of connection errors, on one line."""
    return " ".join(str(error.message).rpartition(": ")[2].split())[:200]


def _check_host(host: str) -> None:
    if "@" in host:
        refuse("Elasticsearch: no user and password in the host; they are options of their own.")
    if not _HOST.fullmatch(host):
        refuse("Elasticsearch: write a host as http://NAME:PORT or https://NAME:PORT, with the port.")


def refuse(message: str) -> NoReturn:
    """Raises an `ElasticsearchError` of this text."""
    raise ElasticsearchError(message)


def _quiet(logger: str) -> None:
    """The client logs each request, and each failure with a traceback; a level that the user set stays."""
    if logging.getLogger(logger).level == logging.NOTSET:
        logging.getLogger(logger).setLevel(logging.ERROR)
