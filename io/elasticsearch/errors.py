"""What can go wrong with Elasticsearch, and what to do about it."""

from clickstream.io.errors import UserError

_NO_INDEX = "create the index with setup-sinks, and check its name"
CURES = {
    "401": "check the API key, or the user and password",
    "403": "grant the user or API key create_index, index and view_index_metadata on the index, and monitor on the "
    "cluster (setup-sinks: manage_index_templates too)",
    "404": _NO_INDEX,
    "413": "lower the limit on a request's bytes, or raise the server's http.max_content_length",
    "429": "the server is overloaded or its disk is full; give it time, capacity or space",
    "cluster_block_exception": "the index is blocked, as when the disk is full; free space and lift the block",
    "index_closed_exception": "open the index",
    "index_not_found_exception": _NO_INDEX,
}


class ElasticsearchError(UserError):
    """One line: what went wrong and what to do about it. Never holds a secret or a document's values."""


class ElasticsearchUnavailableError(ElasticsearchError):
    """May pass by itself: no connection, a timeout, an overloaded or restarting server."""


class ForbiddenError(ElasticsearchError):
    """The account lacks a right (403)."""


class BodyTooLargeError(ElasticsearchError):
    """The server takes no request of this size (413)."""


def explain(status: int, kind: str) -> str:
    """The cure for a failed request or item, from its HTTP status and Elasticsearch's error type."""
    return CURES.get(kind) or CURES.get(str(status)) or "the server's log says more"
