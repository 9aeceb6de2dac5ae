"""Writing into a real Elasticsearch, and asking it what is stored; and a proxy that breaks its answers."""

import json
import urllib.error
import urllib.request
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import apache_beam as beam
import pyarrow as pa
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from bulk_bodies import document_id
from rows import document, table_of

from clickstream.io.elasticsearch.actions import action_batches
from clickstream.io.elasticsearch.bundle import BulkSender, patience_of
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.write import WriteToElasticsearch

SECRET = "Q0FOQVJZNGYxZA=="


INDEX = "page_metrics_test"


def actions_of(rows):
    return next(action_batches(table_of(rows), INDEX))


def identity(found):
    return document_id(found["window_start"], found["url"], found["country"])


def documents(*rows):
    return {identity(found): document(found) for found in rows}


def ask(address, method, path, body=None):
    """Plain HTTP, so that what is stored is not seen through the code under test."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(  # noqa: S310 - the tests' own server
        address + path, data, {"content-type": "application/json"}, method=method
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")


def stored(address):
    """All documents of the index by `_id`."""
    ask(address, "POST", f"/{INDEX}/_refresh")
    found, after = {}, {}
    page = {"size": 5_000, "sort": ["url", "country", "window_start"]}
    while True:
        hits = ask(address, "POST", f"/{INDEX}/_search", page | after)["hits"]["hits"]
        if not hits:
            return found
        found |= {hit["_id"]: hit["_source"] for hit in hits}
        after = {"search_after": hits[-1]["sort"]}


def drop(address, path):
    try:
        ask(address, "DELETE", path)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


class Proxy(ThreadingHTTPServer):
    """Hands requests to the real server, and breaks those to `_bulk` as `faults` says, one fault a request, in order.

    A fault is: an HTTP status (the server never sees the request); "lost" (it does, but the client gets no answer);
    or statuses by document id (the server never sees these documents). None: no fault.
    """

    daemon_threads = True

    def __init__(self, address):
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.real = urlsplit(address).netloc
        self.faults, self.bulks, self.authorizations = [], [], set()
        self.connection = ElasticsearchConnection(f"http://127.0.0.1:{self.server_address[1]}", request_timeout=20)


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.authorizations.add(self.headers.get("authorization"))
        fault = None
        if self.path.startswith("/_bulk"):
            self.server.bulks.append(body)
            fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self.answer(fault, json.dumps({"error": {"type": "injected", "reason": SECRET}, "status": fault}).encode())
        elif isinstance(fault, dict):
            self.answer(*self.without(body, fault))
        else:
            found = self.real(body)
            if fault == "lost":
                self.close_connection = True
            else:
                self.answer(*found)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - names that the library asks for

    def real(self, body):
        upstream = HTTPConnection(self.server.real, timeout=60)
        kept = {name: self.headers[name] for name in ("accept", "content-type") if name in self.headers}
        upstream.request(self.command, self.path, body, kept)
        found = upstream.getresponse()
        return found.status, found.read()

    def without(self, body, statuses):
        lines = body.splitlines(keepends=True)
        pairs = [(json.loads(lines[n])["index"]["_id"], lines[n] + lines[n + 1]) for n in range(0, len(lines), 2)]
        passed = b"".join(pair for name, pair in pairs if name not in statuses)
        status, found = self.real(passed) if passed else (200, b'{"errors":false,"items":[]}')
        items = iter(json.loads(found)["items"])
        merged = [
            {"index": {"status": statuses[name], "error": injected(statuses[name])}}
            if name in statuses
            else next(items)
            for name, _ in pairs
        ]
        return status, json.dumps({"errors": True, "items": merged}).encode()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=8")
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def injected(status):
    """An item's error: for 400 the document's own."""
    return {"type": "document_parsing_exception" if status == 400 else "injected_item", "reason": SECRET}


def sender(connection, seconds=30.0):
    """One that waits little between attempts, and not at random."""
    return BulkSender(connection.connect(), lambda: patience_of(seconds, jitter=lambda _, most: most / 50))


def run(connection, tables, check_written=None, check_rejected=None, **options):
    """Writes each (second, table) through a pipeline of one-minute windows; returns the counters."""
    pipeline = Pipeline()
    stamp = beam.MapTuple(lambda second, found: TimestampedValue(found, second)).with_output_types(pa.Table)
    windowed = pipeline | beam.Create(tables) | stamp | beam.WindowInto(FixedWindows(60))
    found = windowed | WriteToElasticsearch(connection, INDEX, **options)
    pairs = found.written | beam.Map(lambda n, window=beam.DoFn.WindowParam: (int(window.start), n))
    if check_written:
        assert_that(pairs | beam.CombinePerKey(sum), check_written, label="written")
    if check_rejected:
        assert_that(found.rejected | beam.FlatMap(pa.Table.to_pylist), check_rejected, label="rejected")
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    return Counter({each.key.metric.name: each.committed for each in counters})
