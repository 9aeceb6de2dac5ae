"""What shaped the documents of an index, kept in the `_meta` of its mapping, so that a job of other settings can be told apart."""

from collections.abc import Mapping
from typing import Any

from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch.connection import ask
from clickstream.io.elasticsearch.names import searched

_KEY = "clickstream"  # in `_meta`, whose other keys are the user's


def read_settings(client: Elasticsearch, index: str) -> dict[str, str]:
    """The settings of an index (or of those behind an alias); empty where none are noted.

    Raises:
        ElasticsearchError: The server can't be asked.
    """
    found: dict[str, str] = {}
    for meta in _metas(client, index).values():
        found |= {str(name): str(value) for name, value in meta.get(_KEY, {}).items()}
    return found


def write_settings(client: Elasticsearch, index: str, settings: Mapping[str, str]) -> None:
    """Notes settings, instead of those of the same names. What else is in `_meta` stays. Of indices by time, in those that are there.

    Raises:
        ElasticsearchError: The server can't be asked, or forbids it.
    """
    for name, meta in _metas(client, index).items() if settings else ():
        ours = meta.get(_KEY, {}) | dict(settings)
        ask(client, "PUT", f"/{name}/_mapping", {"_meta": meta | {_KEY: ours}})


def _metas(client: Elasticsearch, index: str) -> dict[str, dict[str, Any]]:
    """The `_meta` of each index of the name."""
    mappings = ask(client, "GET", f"/{searched(index)}/_mapping")
    return {name: found["mappings"].get("_meta", {}) for name, found in mappings.items()}
