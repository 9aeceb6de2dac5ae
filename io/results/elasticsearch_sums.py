"""Sums out of an Elasticsearch index: by composite aggregations, which leave out nothing, however many shards there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from clickstream.io.elasticsearch import DEFAULT_INDEX, ElasticsearchConnection, ask, check_index_name, searched
from clickstream.io.results.elasticsearch_rows import query_of, read_elasticsearch_rows
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sums import SUMS_SCHEMA, Extent, Group, GroupSums

_PAGE = 10_000  # groups an answer
_SUMMED = ("clicks", "timed_clicks", "sessions", "bounces", "time_spent_seconds")
_MEASURED = ("sessions", "bounces")


@dataclass(frozen=True)
class ElasticsearchStore:
    """An index of result rows."""

    connection: ElasticsearchConnection
    index: str = DEFAULT_INDEX

    def __post_init__(self) -> None:
        check_index_name(self.index)

    @property
    def place(self) -> str:
        """Where it is, for people to read."""
        return f"Elasticsearch at {self.connection.hosts}, index {self.index}"

    def extent(self) -> Extent | None:
        """See `Store`."""
        times = ["window_start", "window_end"]
        body = {"size": 1, "_source": times, "track_total_hits": False}
        orders = ({"sort": [{"window_start": order}]} for order in ("asc", "desc"))
        hits = [hit["_source"] for order in orders for hit in self._search(body | order)["hits"]["hits"]]
        if not hits:
            return None
        first, _, start, end = (
            datetime.fromisoformat(hit[name].replace("Z", "+00:00")) for hit in hits for name in times
        )
        return Extent(first, end, round((end - start).total_seconds()))

    def by_time(self, wanted: RowFilter) -> pa.Table:
        """See `Store`."""
        ends = {"window_end": {"max": {"field": "window_end"}}}
        cells: dict[str, list[Any]] = {name: [] for name in SUMS_SCHEMA.names}
        for bucket in self._groups("window_start", wanted, ends):
            row = _sums(bucket) | {
                "window_start": round(bucket["key"]["by"]),
                "window_end": round(bucket["window_end"]["value"]),
                "rows": bucket["doc_count"],
            }
            for name, column in cells.items():
                column.append(row[name])
        return pa.table([pa.array(cells[field.name], field.type) for field in SUMS_SCHEMA], SUMS_SCHEMA)

    def top(self, group: Group, wanted: RowFilter, most: int) -> tuple[int, list[GroupSums]]:
        """See `Store`."""
        found = [GroupSums(bucket["key"]["by"], **_plain(_sums(bucket))) for bucket in self._groups(group, wanted, {})]
        found = [sums for sums in found if sums.clicks]  # a row of which the last click is forgotten has none
        return len(found), sorted(found, key=lambda sums: (-sums.clicks, sums.name))[:most]

    def rows(self, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
        """See `Store`."""
        return read_elasticsearch_rows(self.connection, self.index, wanted, columns)

    def _groups(self, field: str, wanted: RowFilter, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
        sums = {name: {"sum": {"field": name}} for name in _SUMMED}
        known = {f"{name}_known": {"value_count": {"field": name}} for name in _MEASURED}
        composite: dict[str, Any] = {"size": _PAGE, "sources": [{"by": {"terms": {"field": field}}}]}
        while True:
            groups = {"composite": composite, "aggs": sums | known | more}
            found = self._search({"size": 0, "query": query_of(wanted), "aggs": {"groups": groups}})["aggregations"][
                "groups"
            ]
            yield from found["buckets"]
            if len(found["buckets"]) < _PAGE:
                return
            composite = composite | {"after": found["after_key"]}

    def _search(self, body: dict[str, Any]) -> Any:
        client = self.connection.connect()
        try:
            return ask(client, "POST", f"/{searched(self.index)}/_search?allow_partial_search_results=false", body)
        finally:
            client.close()


def _sums(bucket: dict[str, Any]) -> dict[str, Any]:
    sums: dict[str, Any] = {name: bucket[name]["value"] for name in _SUMMED}
    sums |= {name: round(sums[name]) for name in ("clicks", "timed_clicks", *_MEASURED)}
    return sums | {name: None for name in _MEASURED if not bucket[f"{name}_known"]["value"]}


def _plain(sums: dict[str, Any]) -> dict[str, Any]:
    return {name: sums[name] for name in GroupSums._fields if name != "name"}
