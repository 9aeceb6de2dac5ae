"""Result rows out of an Elasticsearch index: all as of one moment (a point in time), page behind page, however many there are."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import orjson
import pyarrow as pa
from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch import (
    ElasticsearchConnection,
    ElasticsearchError,
    ask,
    check_index_name,
    perform,
    searched,
    speaks_opensearch,
)
from clickstream.io.results.row_filter import FIRST_PAGE_ROWS, RowFilter, next_page_rows, page_schema
from clickstream.transforms.schema import RESULT_COLUMNS

_KEEP_ALIVE = "5m"  # from page to page
# Texts of JSON in a row, JSON itself in a document.
_EMBEDDED = {column.name for column in RESULT_COLUMNS if column.holds in ("histogram", "hashes")}
_WHOLE = {"allow_partial_search_results": "false", "filter_path": "pit_id,hits.hits._source,hits.hits.sort"}


class _Hit(msgspec.Struct):
    sort: list[Any] = []
    source: dict[str, msgspec.Raw] = msgspec.field(name="_source", default_factory=dict)


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Answer(msgspec.Struct):
    pit_id: str
    hits: _Hits = msgspec.field(default_factory=_Hits)


class _Scrolled(msgspec.Struct):
    scroll_id: str = msgspec.field(name="_scroll_id", default="")  # none where no index is of the name
    hits: _Hits = msgspec.field(default_factory=_Hits)


_ANSWERS, _SCROLLED = msgspec.json.Decoder(_Answer), msgspec.json.Decoder(_Scrolled)


def read_elasticsearch_rows(
    connection: ElasticsearchConnection, index: str, wanted: RowFilter, columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Yields the chosen documents in pages: these columns of its kind's schema.

    What was written in the last second may be missing: an index shows it at its next refresh.

    Raises:
        ElasticsearchError: The server can't be reached or asked, or not all of the index can be read.
    """
    check_index_name(index)
    client = connection.connect()
    try:
        opened = _point_in_time(client, index)
        yield from _pages(client, opened, wanted, columns) if opened else _scrolled(client, index, wanted, columns)
        # Not if the reader leaves early: that may be the garbage collector, when the client is no more. It ends by itself.
        if opened:
            with suppress(ElasticsearchError):
                ask(client, "DELETE", "/_pit", {"id": opened})
    finally:
        client.close()


def _point_in_time(client: Elasticsearch, index: str) -> str:
    """Opens one; empty where OpenSearch answers, whose points in time have no order to go on in (2.19)."""
    try:
        return str(ask(client, "POST", f"/{searched(index)}/_pit?keep_alive={_KEEP_ALIVE}")["id"])
    except ElasticsearchError:
        if not speaks_opensearch(client):
            raise
        return ""


def _scrolled(client: Elasticsearch, index: str, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The same from OpenSearch, all as of one moment too; a scroll's pages are all of one size."""
    asked = {"query": query_of(wanted), "_source": list(columns), "sort": ["_doc"], "size": FIRST_PAGE_ROWS}
    path, body = f"/{searched(index)}/_search?scroll={_KEEP_ALIVE}&allow_partial_search_results=false", asked
    while True:
        answer = _SCROLLED.decode(perform(client, "POST", path, orjson.dumps(body)))
        path, body = "/_search/scroll", {"scroll": _KEEP_ALIVE, "scroll_id": answer.scroll_id}
        yield _table([hit.source for hit in answer.hits.hits], columns)
        if len(answer.hits.hits) < FIRST_PAGE_ROWS:
            break
    with suppress(ElasticsearchError):  # it ends by itself too
        ask(client, "DELETE", "/_search/scroll", {"scroll_id": [answer.scroll_id]})


def _pages(client: Elasticsearch, opened: str, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
    body = {"query": query_of(wanted), "_source": list(columns), "sort": ["_shard_doc"], "track_total_hits": False}
    size = FIRST_PAGE_ROWS
    while True:
        body |= {"pit": {"id": opened, "keep_alive": _KEEP_ALIVE}, "size": size}
        answer = _ANSWERS.decode(perform(client, "POST", "/_search", orjson.dumps(body), params=_WHOLE))
        hits, opened = answer.hits.hits, answer.pit_id
        page = _table([hit.source for hit in hits], columns)
        yield page
        if len(hits) < size:
            return
        body["search_after"], size = hits[-1].sort, next_page_rows(page)


def query_of(wanted: RowFilter) -> dict[str, Any]:
    """What a document must fulfil."""
    exact = {"url": wanted.url, "country": wanted.country}
    conditions: list[Any] = [{"term": {name: value}} for name, value in exact.items() if value is not None]
    bounds = {"gte": wanted.start, "lt": wanted.end}
    limits = {name: _text(moment) for name, moment in bounds.items() if moment is not None}
    return {"bool": {"filter": [*conditions, *([{"range": {"window_start": limits}}] if limits else [])]}}


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat("T", "seconds") + "Z"


def _table(documents: list[dict[str, msgspec.Raw]], columns: Sequence[str]) -> pa.Table:
    schema, none = page_schema(columns), msgspec.Raw(b"null")
    cells = {name: [bytes(document.get(name, none)) for document in documents] for name in columns}
    return pa.table([_column(cells[field.name], field) for field in schema], schema)


def _column(cells: list[bytes], field: pa.Field) -> pa.Array:
    if field.name in _EMBEDDED:
        return pa.array([None if cell == b"null" else _as_written(cell) for cell in cells], field.type)
    values = orjson.loads(b"[" + b",".join(cells) + b"]")
    return pa.array(values).cast(field.type) if pa.types.is_timestamp(field.type) else pa.array(values, field.type)


def _as_written(cell: bytes) -> str:
    """Part of a document as text: Elasticsearch gives numbers under 0.001, and from 10 million, with an exponent (9.9E-4).

    OpenSearch turns a histogram's lists round.
    """
    if cell.startswith(b'{"counts"'):
        found = orjson.loads(cell)
        cell = orjson.dumps({"values": found["values"], "counts": found["counts"]})
    return (orjson.dumps(orjson.loads(cell)) if b"E" in cell else cell).decode()
