"""What a live job has left in both stores, and what a recomputation from the topic says should be there."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pymysql
from e2e.live_harness import LiveJob, Record, Topic
from oracle import Click, Key, Row, expected_rows, read_click, read_time

from tests.services.elasticsearch import Elasticsearch
from tests.services.kafka import Kafka
from tests.services.sql import SqlServer

FUTURE = 4_000_000_000_000  # beyond it lie the sample's clicks from the future, which are rejected
SESSION_GAP = 1800  # the default
_COLUMNS = "window_start, url, country, window_end, clicks, unique_users, time_spent_seconds, timed_clicks, version, sessions, bounces"
_SORT: dict[str, Any] = {"size": 10_000, "sort": ["window_start", "url", "country"]}


@lru_cache(1 << 21)
def click_of(value: bytes) -> Click | None:
    """The oracle's reading of a record, as the live job must see it."""
    click = read_click(value)
    return click if click and click.millis < FUTURE else None


def oracle(
    records: Iterable[Record], window_seconds: int, session_gap: int = SESSION_GAP, **options: Any
) -> dict[Key, Row]:
    """The rows of these records."""
    clicks = [click for record in records if (click := click_of(record.value))]
    return expected_rows(clicks, window_seconds=window_seconds, session_gap_seconds=session_gap, **options)


def rejects(records: Iterable[Record]) -> dict[tuple[int, int], bytes]:
    """The records to reject, by partition and offset."""
    return {(r.partition, r.offset): r.value for r in records if click_of(r.value) is None}


def straggler(millis: int, url: str, country: str) -> bytes:
    """A click by a user and with a time of its own, so that it shows where it is counted."""
    return json.dumps(
        {"user_id": "straggler", "timestamp": millis, "url": url, "country": country, "time_spent": 12_345}
    ).encode()


def first_open(millis: list[int], window_seconds: int, session_gap: int, disorder: int = 10) -> int:
    """How many of one partition's clicks, in order of time, come before the first that a later click may still change something of."""
    watermark = max(millis) - disorder * 1000
    window, gap = window_seconds * 1000, session_gap * 1000
    return sum(((each + gap) // window + 1) * window + gap + window <= watermark for each in millis)


@dataclass
class Bench:
    """The servers, and names of a test's own on each."""

    kafka: Kafka
    sql_server: SqlServer
    elasticsearch: Elasticsearch
    prism: str
    folder: Path

    def __post_init__(self) -> None:
        self.database = self.sql_server.create_database()
        self.index = self.group = self.database
        self.topic = Topic(self.kafka.address, self.kafka.create_topic(self.database, 4))

    def job(self, *options: str) -> LiveJob:
        """A job over its own topic, to both stores; `options` win."""
        names = {
            "bootstrap_servers": self.kafka.address,
            "topic": self.topic.name,
            "group_id": self.group,
            "mysql": self.sql_server.url(self.database),
            "mysql_password": "env:TEST_SQL_PASSWORD",
            "elasticsearch": self.elasticsearch.address,
            "elasticsearch_index": self.index,
            "prism_location": self.prism,
        }
        for option in options:
            names.pop(option.removeprefix("--").partition("=")[0], None)
        given = [f"--{name}={value}" for name, value in names.items()]
        return LiveJob(
            [*given, *filter(lambda option: not option.endswith("="), options)], self.folder, self.sql_server.password
        )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What a query says; nothing while its table isn't there."""
        with self.sql_server.connect(self.database) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except pymysql.err.ProgrammingError:
                return []
            return list(cursor.fetchall())

    def sql_rows(self, rollup: str = "") -> dict[Key, Row]:
        """The rows of the windows; with `_1h` or `_1d`, of that roll-up."""
        rows = {}
        query = f"SELECT {_COLUMNS}, avg_time_spent FROM page_metrics{rollup}"  # noqa: S608
        for start, url, country, end, *counts, mean in self.sql(query):
            rows[read_time(str(start)), url, country] = _row(read_time(str(end)), counts, mean)
        return rows

    def documents(self, rollup: str = "") -> dict[Key, Row]:
        """As `sql_rows`."""
        index = f"{self.index}{rollup}"
        self.ask(f"{index}/_refresh")
        rows: dict[Key, Row] = {}
        query, count = {**_SORT, "version": True}, 0
        while hits := self.ask(f"{index}/_search", query)["hits"]["hits"]:
            for hit in hits:
                found = hit["_source"]
                assert hit["_version"] == found["version"]
                key = read_time(found["window_start"]), found["url"], found["country"]
                counts = [found[name.strip()] for name in _COLUMNS.split(",")[4:]]
                rows[key] = _row(read_time(found["window_end"]), counts, found["avg_time_spent"])
            query, count = {**query, "search_after": hits[-1]["sort"]}, count + len(hits)
        assert count == len(rows), "a row in two documents"
        return rows

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """Asks Elasticsearch."""
        request = urllib.request.Request(  # noqa: S310 (an address of our own)
            f"{self.elasticsearch.address}/{path}",
            json.dumps(body).encode() if body is not None else None,
            {"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def sums(self) -> tuple[dict[int, int], dict[int, int]]:
        """The clicks of each window (start in ms), in the database and in the index."""
        sql = self.sql("SELECT window_start, SUM(clicks) FROM page_metrics GROUP BY 1")
        total = {"clicks": {"sum": {"field": "clicks"}}}
        windows = {"windows": {"terms": {"field": "window_start", "size": 10_000}, "aggs": total}}
        try:
            self.ask(f"{self.index}/_refresh")
            buckets = self.ask(f"{self.index}/_search", {"size": 0, "aggs": windows})["aggregations"]["windows"][
                "buckets"
            ]
        except urllib.error.HTTPError:  # no index yet
            buckets = []
        in_index = {bucket["key"]: int(bucket["clicks"]["value"]) for bucket in buckets}
        return {read_time(str(start)): int(count) for start, count in sql}, in_index

    def dead_letters(self) -> dict[tuple[int, int], bytes]:
        found = self.sql("SELECT source, position, raw FROM dead_letters")
        letters = {(int(source.rpartition("/")[2]), position): raw for source, position, raw in found}
        assert len(letters) == len(found), "a record twice in the dead letters"
        assert {source.rpartition("/")[0] for source, _, _ in found} <= {f"kafka:{self.topic.name}"}
        return letters


def sums_of(rows: dict[Key, Row]) -> dict[int, int]:
    """The clicks of each window (start in ms)."""
    totals: dict[int, int] = {}
    for (start, _, _), row in rows.items():
        totals[start] = totals.get(start, 0) + row.clicks
    return totals


def _row(end: int | None, counts: list[Any], mean: float | None) -> Row:
    clicks, users, seconds, *others = counts
    row = Row(end, clicks, users, round(seconds * 1000), *others)
    assert mean == (seconds / row.timed_clicks if row.timed_clicks else None)
    return row
