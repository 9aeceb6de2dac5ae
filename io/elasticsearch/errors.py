"""What can go wrong with Elasticsearch, and what to do about it."""

from collections.abc import Iterable

from clickstream.io.errors import UserError

_NO_INDEX = "create the index with setup-sinks, and check its name"
CURES = {
    "401": "check the API key, or the user and password",
    "403": "grant the user or API key create_index, index and view_index_metadata on the index, and monitor on the "
    "cluster (setup-sinks: manage_index_templates too)",
    "404": _NO_INDEX,
    "413": "raise the server's http.max_content_length, or the limit of a proxy between (nginx: client_max_body_size)",
    "429": "the server is overloaded or its disk is full; give it time, capacity or space",
    "cluster_block_exception": "the index is blocked, as when the disk is full; free space and lift the block",
    "index_closed_exception": "open the index",
    "index_not_found_exception": _NO_INDEX,
}
_CURES_OF_HELD = {  # refusals that aren't the documents' fault, beside those above
    "illegal_argument_exception": "the index, or the alias of its name, takes no documents as it is: an alias must stand for one index",
    "400": "the index, or something between, takes no documents as it is; the server's log says more",
}
# Elasticsearch's types (and OpenSearch's) of what names the document's own content: how it is parsed, mapped, how long a field is.
_CONTENT = frozenset(
    {
        *(
            "document_parsing_exception",
            "mapper_parsing_exception",
            "mapper_exception",
            "strict_dynamic_mapping_exception",
        ),
        *(
            "parsing_exception",
            "parse_exception",
            "x_content_parse_exception",
            "json_parse_exception",
            "input_coercion_exception",
        ),
        *("number_format_exception", "date_time_parse_exception", "max_bytes_length_exceeded_exception"),
    }
)


class ElasticsearchError(UserError):
    """One line: what went wrong and what to do about it. Never holds a secret or a document's values."""


class ElasticsearchUnavailableError(ElasticsearchError):
    """May pass by itself: no connection, a timeout, an overloaded or restarting server."""


class ForbiddenError(ElasticsearchError):
    """The account lacks a right (403)."""


class BulkFileError(UserError):
    """The bulk file can't be written."""


class BodyTooLargeError(ElasticsearchError):
    """The server takes no request of this size (413)."""


def explain(status: int, kind: str) -> str:
    """The cure for a failed request or item, from its HTTP status and Elasticsearch's error type."""
    cures = CURES | _CURES_OF_HELD
    return cures.get(kind) or cures.get(str(status)) or "the server's log says more"


def is_of_content(kinds: Iterable[str]) -> bool:
    """Whether an item's error, by its type and those of its causes, is the document's own; else it's the server's, or of something between."""
    return not _CONTENT.isdisjoint(kinds)
