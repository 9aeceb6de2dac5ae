"""Elasticsearch before the first write: the index with its strict mapping, made where it is missing and checked where it is not."""

from collections.abc import Mapping

from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch.connection import ask, perform, refuse
from clickstream.io.elasticsearch.dialect import product_of
from clickstream.io.elasticsearch.errors import ElasticsearchError, ForbiddenError
from clickstream.io.elasticsearch.mapping import complaints
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name, is_by_time, kind_in, searched
from clickstream.io.elasticsearch.template import setup_template

OLDEST = {"Elasticsearch": 8, "OpenSearch": 2}


def setup_elasticsearch(
    client: Elasticsearch, index: str = DEFAULT_INDEX, settings: Mapping[str, int] | None = None
) -> None:
    """Creates index template and index where they are missing, and checks them. May be called any number of times.

    A template that is there stays as it is, as long as it gives what documents need.

    Args:
        client: From `ElasticsearchConnection.connect`.
        index: The index; with `{month}` or `{day}` indices by time, which the server makes from the template when it needs them.
        settings: `number_of_shards` and `number_of_replicas`, for the template, and as far as can be for the index that is there.

    Raises:
        ElasticsearchError: The server is too old, forbids it, has an index with another mapping, or a template that has precedence.
    """
    check_index_name(index)
    _check_version(client)
    _check_alias(client, index)
    there = not is_by_time(index) and bool(perform(client, "HEAD", f"/{index}"))
    _setup_template(client, index, settings or {}, there=there)
    if not there and not is_by_time(index):
        ask(client, "PUT", f"/{index}", {})
    elif settings and "number_of_replicas" in settings:
        replicas = {"index": {"number_of_replicas": settings["number_of_replicas"]}}
        ask(client, "PUT", f"/{searched(index)}/_settings?allow_no_indices=true", replicas)
    check_elasticsearch(client, index)


def _setup_template(client: Elasticsearch, index: str, settings: Mapping[str, int], *, there: bool) -> None:
    try:
        setup_template(client, index, settings)
    except ForbiddenError:
        if there and not settings:  # then no template is needed today, and nothing but the mapping is asked for
            return
        message = (
            f"Elasticsearch: this account may not see or make the index template of {index}: grant it manage_index_templates"
            " on the cluster, or run setup-sinks with an account that has it."
        )
        raise ElasticsearchError(message) from None
    except ElasticsearchError:
        if not there or settings:
            raise


def check_elasticsearch(client: Elasticsearch, index: str = DEFAULT_INDEX) -> None:
    """Checks that the server answers and is not too old, and that the documents fit the index's (or alias's) mapping.

    Args:
        client: From `ElasticsearchConnection.connect`.
        index: Where the documents will go.

    Raises:
        ElasticsearchError: One of these fails. For the mapping: the field, what was found, what is needed, the cure.
    """
    check_index_name(index)
    _check_version(client)
    _check_alias(client, index)
    for name, found in ask(client, "GET", f"/{searched(index)}/_mapping").items():
        for complaint in complaints(found["mappings"].get("properties", {}), kind_in(index)):
            cure = "reindex it into an index that setup-sinks made, or name another index"
            message = f"Elasticsearch: index {name}, {complaint}: {cure}."
            raise ElasticsearchError(message)


def _check_alias(client: Elasticsearch, index: str) -> None:
    """An alias that moves on, as with ILM's rollover, would leave a window's earlier row behind, where it counts a second time."""
    if is_by_time(index) or not perform(client, "HEAD", f"/_alias/{index}"):
        return
    found = ask(client, "GET", f"/_alias/{index}")
    written = [name for name, of in found.items() if of["aliases"].get(index, {}).get("is_write_index")]
    if len(found) > 1 or written:
        where = f"has the write index {written[0]}" if written else f"stands for {len(found)} indices"
        refuse(
            f"Elasticsearch: {index} is an alias that {where}; after a rollover a window that is written again would stand in two indices,"
            f" and count twice. Name an index, or indices by time, of which old ones can be dropped: --elasticsearch_index={index}-{{month}}."
        )


def _check_version(client: Elasticsearch) -> None:
    version = ask(client, "GET", "/")["version"]
    number, product = str(version["number"]), product_of(version)
    if int(number.partition(".")[0]) < OLDEST[product]:
        message = f"{product} {number} is too old: use version {OLDEST[product]} or later."
        raise ElasticsearchError(message)
