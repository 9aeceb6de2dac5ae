"""OpenSearch beside Elasticsearch: what its answers and requests have otherwise, told in the headers that Elasticsearch's client knows."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
from elastic_transport import ApiResponseMeta, HttpHeaders

_PRODUCT, _ELASTICSEARCH = "x-elastic-product", "Elasticsearch"
_PLAIN = {"+json": "application/json", "+x-ndjson": "application/x-ndjson"}


def is_elasticsearch(meta: ApiResponseMeta) -> bool:
    """Whether an answer says that it is Elasticsearch's."""
    return meta.headers.get(_PRODUCT) == _ELASTICSEARCH


def product_of(version: Mapping[str, Any]) -> str:
    """What answers, by the `version` of `GET /`."""
    return "OpenSearch" if version.get("distribution") == "opensearch" else "Elasticsearch"


def is_opensearch(status: int, body: bytes) -> bool:
    """Whether an answer to `GET /` is OpenSearch's."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return status == 200 and product_of(orjson.loads(body)["version"]) == "OpenSearch"
    return False


def plain(headers: Mapping[str, str]) -> HttpHeaders:
    """A request's headers with the types of content that OpenSearch knows."""
    return HttpHeaders({name: _plain(value) for name, value in headers.items()})


def as_elasticsearch(meta: ApiResponseMeta, accepted: str) -> ApiResponseMeta:
    """An answer's head as Elasticsearch would give it, where the client asks for a type of content."""
    found = HttpHeaders({**meta.headers, _PRODUCT: _ELASTICSEARCH})
    if accepted and "json" in (found.get("content-type") or ""):
        found["content-type"] = accepted
    return replace(meta, headers=found)


def _plain(value: str) -> str:
    return next(
        (known for kind, known in _PLAIN.items() if value.startswith(f"application/vnd.elasticsearch{kind}")), value
    )
