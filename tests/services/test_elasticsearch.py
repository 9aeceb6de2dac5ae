"""The sink in front of a real server, and, where a fault is needed, of a proxy that breaks the server's answers."""

import contextlib
import json
import random
import socket
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from bulk_bodies import bulk_body, document_id
from rows import MAX_THETA, START, document, metric, rows_of_all_kinds, sketch, table_of

from clickstream.io.elasticsearch.actions import action_batches, action_bytes
from clickstream.io.elasticsearch.bundle import BulkSender, patience_of
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch, setup_elasticsearch
from clickstream.io.elasticsearch.mapping import MAPPING
from clickstream.io.elasticsearch.write import WriteToElasticsearch
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

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


@pytest.fixture
def server(elasticsearch):
    """An empty index in the real server, and a connection to it."""
    for path in (f"/{INDEX}", f"/_index_template/{INDEX}"):
        drop(elasticsearch.address, path)
    connection = ElasticsearchConnection(elasticsearch.address, request_timeout=20)
    setup_elasticsearch(connection.connect(), INDEX)
    yield connection
    for path in (f"/{INDEX}", f"/_index_template/{INDEX}"):
        drop(elasticsearch.address, path)


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


@pytest.fixture
def proxy(server):
    found = Proxy(server.hosts)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


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


# What is stored


def test_rows_arrive_exactly_in_one_request_and_are_counted_in_their_windows(server):
    rows = [metric(0, n, window_start=START + timedelta(minutes=n % 3)) for n in range(90)]
    tables = [(60 * (n % 3), table_of([each])) for n, each in enumerate(rows)]
    counters = run(server, tables, equal_to([(0, 30), (60, 30), (120, 30)]), equal_to([]))
    assert stored(server.hosts) == documents(*rows)
    assert counters["documents_written"] == 90
    assert counters["bulk_requests"] <= len(tables) / 5  # tables share requests


HOSTILE = [
    '"',
    "\\",
    "\n",
    "\0",
    "\x1f",
    "\u2028",
    "</script>",
    "𝄞",
    "'; DROP",
    '"}\n{"delete":{"_id":"x"}}',
    "=1+1",
    "%s",
]


def test_hostile_strings_and_numbers_come_back_exactly(server):
    rows = [metric(0, f"https://h/{text}", country=text) for text in HOSTILE]
    rows += [metric(version=2**62, time_spent_seconds=1e300, avg_time_spent=5e-324, p90_time_spent=1 / 7)]
    rows += [metric(0, 1, avg_time_spent=None, clicks=2**63 - 1)]
    assert sender(server).send(actions_of(rows)) == {}
    assert stored(server.hosts) == documents(*rows)


def test_every_field_comes_back_exactly_null_too(server):
    rows = rows_of_all_kinds()
    assert sender(server).send(actions_of(rows)) == {}
    assert stored(server.hosts) == documents(*rows)
    fields = ["users_theta", "users_exact", "users_sketch", "sessions"]
    found = ask(server.hosts, "POST", f"/{INDEX}/_search", {"docvalue_fields": fields, "_source": False, "size": 99})
    hits = {hit["_id"]: hit.get("fields", {}) for hit in found["hits"]["hits"]}
    for row in rows:
        whole = document(row)
        known = {name: whole[name] for name in fields if whole[name] not in (None, [])}
        assert hits[identity(row)] == {
            name: value if name == "users_sketch" else [value] for name, value in known.items()
        }


def test_a_cardinality_over_exact_sketches_counts_users_once(server):
    chance = random.Random(4)
    users = [chance.randrange(MAX_THETA) for _ in range(500)]
    seen = [chance.sample(users, chance.randrange(1, 60)) for _ in range(40)]
    rows = [metric(0, n, unique_users=len(each), users_sketch=sketch(each)) for n, each in enumerate(seen)]
    cut_short = metric(0, 40, users_theta=min(users), users_sketch=sketch([min(users) - 1]))
    assert sender(server).send(actions_of([*rows, cut_short, metric(0, 41, users_theta=None, users_sketch=None)])) == {}
    ask(server.hosts, "POST", f"/{INDEX}/_refresh")
    counted = {"cardinality": {"field": "users_sketch", "precision_threshold": 40_000}}
    question = {"size": 0, "query": {"term": {"users_exact": True}}, "aggs": {"users": counted}}
    found = ask(server.hosts, "POST", f"/{INDEX}/_search", question)
    assert found["hits"]["total"]["value"] == len(rows)
    assert found["aggregations"]["users"]["value"] == len({user for each in seen for user in each})


@pytest.mark.parametrize("character", ["a", "é", "𝄞"])
def test_urls_of_8_kib_are_stored_and_can_be_searched_for(server, character):
    size = (8_192 - 10) // len(character.encode())
    rows = [metric(page="https://h/" + character * size), metric(page="https://h/" + character * (size - 1) + "b")]
    assert sender(server).send(actions_of(rows)) == {}
    assert stored(server.hosts) == documents(*rows)
    for each in rows:
        hits = ask(server.hosts, "POST", f"/{INDEX}/_search", {"query": {"term": {"url": each["url"]}}})["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == [identity(each)]


# The version guard


def test_a_stale_write_does_not_lower_a_number_and_an_equal_one_is_accepted(server):
    assert run(server, [(0, table_of([metric(version=5)]))])["documents_written"] == 1
    stale = run(server, [(0, table_of([metric(version=4)]))], equal_to([(0, 1)]), equal_to([]))
    assert (stale["documents_already_newer"], stale["documents_written"], stale["retries"]) == (1, 0, 0)
    assert stored(server.hosts) == documents(metric(version=5))
    assert run(server, [(0, table_of([metric(version=5, clicks=9)]))])["documents_written"] == 1
    assert stored(server.hosts) == documents(metric(version=5, clicks=9))


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_any_repetition_ends_in_the_highest_versions(server, seed):
    chance = random.Random(seed)
    rows = [metric(0, chance.randrange(40), version=chance.randrange(1, 30)) for _ in range(600)]
    batches = [chance.choices(rows, k=chance.randrange(1, 80)) for _ in range(30)] + [rows]
    chance.shuffle(batches)
    threads = [threading.Thread(target=sender(server).send, args=(actions_of(batch),)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(server.hosts) == documents(*sorted(rows, key=lambda each: each["version"]))


# What is refused for its content


def add_strict_trap(address):
    """`version` narrowed to a byte: 128 and more are refused, by the real server, for their content."""
    drop(address, f"/{INDEX}")
    properties = MAPPING | {"version": {"type": "byte"}}
    ask(address, "PUT", f"/{INDEX}", {"mappings": {"dynamic": "strict", "properties": properties}})


def test_refused_documents_go_to_rejected_with_their_bytes_and_the_rest_of_the_batch_stands(server):
    add_strict_trap(server.hosts)
    good, bad = [metric(0, n, version=7) for n in range(50)], [metric(0, n, version=1_000 + n) for n in range(50, 53)]
    mixed = good[:25] + bad + good[25:]
    tables = [(0, table_of(mixed[:26])), (60, table_of(mixed[26:]))]
    found = []

    def check(rejected):
        found.extend(rejected)
        assert {json.loads(each["raw"])["url"] for each in rejected} == {each["url"] for each in bad}
        for each in rejected:
            assert json.loads(each["raw"]) in [document(each) for each in bad]
            assert (each["source"], each["position"]) == (f"elasticsearch:{INDEX}", -1)
            assert each["reason"] == "sink_refused"
            assert each["detail"] == "400 document_parsing_exception, illegal_argument_exception (field version)"

    counters = run(server, tables, equal_to([(0, 25), (60, 25)]), check)
    assert stored(server.hosts) == documents(*good)
    assert (counters["documents_refused"], counters["documents_written"], counters["retries"]) == (3, 50, 0)


def test_a_field_that_the_mapping_does_not_know_is_refused_by_the_real_server(server):
    body = action_bytes(actions_of([metric()])).replace(b'"clicks"', b'"unknown_field"')
    answer = json.loads(send_bulk(server.connect(), body))
    assert answer["items"][0]["index"]["error"]["type"] == "strict_dynamic_mapping_exception"


# What may pass by itself


def test_single_items_that_were_too_much_are_sent_again_alone_exactly_as_often_as_needed(proxy, server):
    rows = [metric(0, n) for n in range(10)]
    busy = [identity(each) for each in rows[3:6]]
    proxy.faults = [{busy[0]: 429, busy[1]: 503, busy[2]: 429}, {busy[2]: 500}, None]
    assert sender(proxy.connection).send(actions_of(rows)) == {}
    assert [body.count(b"_index") for body in proxy.bulks] == [10, 3, 1]
    assert stored(server.hosts) == documents(*rows)


def test_a_refused_item_keeps_its_place_when_others_are_sent_again(proxy, server):
    rows = [metric(0, n) for n in range(6)]
    names = [identity(each) for each in rows]
    proxy.faults = [{names[0]: 429, names[4]: 429, names[5]: 400}, {names[4]: 400}]
    refused = sender(proxy.connection).send(actions_of(rows))
    assert refused == {5: "400 document_parsing_exception", 4: "400 document_parsing_exception"}
    assert stored(server.hosts) == documents(*rows[:4])


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, "lost"])
def test_a_failed_request_is_repeated_exactly_as_often_as_needed(proxy, server, fault):
    rows = [metric(0, n) for n in range(5)]
    proxy.faults = [fault, fault, None]
    assert sender(proxy.connection).send(actions_of(rows)) == {}
    assert proxy.bulks == [bulk_body(table_of(rows), INDEX)] * 3
    assert stored(server.hosts) == documents(*rows)


def test_items_that_stay_too_much_fail_the_bundle_when_the_time_is_over(proxy):
    proxy.faults = [{identity(metric()): 429}] * 100
    began = time.monotonic()
    with pytest.raises(Exception, match=r"after \d+ failed attempts in 2 s: 429 injected_item: .*overloaded") as caught:
        run(proxy.connection, [(0, table_of([metric()]))], retry_seconds=2)
    assert time.monotonic() - began < 15
    assert SECRET not in str(caught.value)
    assert len(proxy.bulks) >= 2


def test_a_body_that_is_too_large_is_halved_until_it_fits(proxy, server):
    rows = [metric(0, n) for n in range(5)]
    proxy.faults = [413, 413]  # all five; then the first half
    assert sender(proxy.connection).send(actions_of(rows)) == {}
    assert [body.count(b"_index") for body in proxy.bulks] == [5, 3, 2, 1, 2]
    assert stored(server.hosts) == documents(*rows)


def test_a_document_larger_than_requests_usually_are_may_be_too_large_by_itself(proxy, server, monkeypatch):
    monkeypatch.setattr("clickstream.io.elasticsearch.actions.MAX_BODY_BYTES", 2_000)
    large = metric(page="https://h/" + "x" * 2_000)
    proxy.faults = [413, 413]
    refused = sender(proxy.connection).send(actions_of([large, metric(0, 1)]))
    assert list(refused) == [0]
    assert "client_max_body_size" in refused[0]
    assert stored(server.hosts) == documents(metric(0, 1))


# What is refused for no fault of the rows


def held(send, rows, caplog):
    """Sends rows that nothing refuses for good; gives what was said meanwhile."""
    with caplog.at_level("WARNING", "clickstream"):
        assert send(actions_of(rows)) == {}
    return [record.getMessage() for record in caplog.records if record.name.startswith("clickstream")]


def test_a_proxy_that_finds_everything_too_large_for_a_while_costs_no_row(proxy, server, caplog):
    rows = [metric(0, n) for n in range(393)]
    proxy.faults = [413] * 40
    said = held(sender(proxy.connection).send, rows, caplog)
    assert stored(server.hosts) == documents(*rows)
    assert len(proxy.bulks) < 40 + 2 * 10  # a piece of each size once more, and no row by itself
    assert ["trying again. Elasticsearch answered 413" in said[0], "back after" in said[-1]] == [True, True]
    assert len(said) == 2


@pytest.mark.parametrize("status", [400, 405, 415, 418])
def test_a_request_that_is_refused_as_a_whole_is_held(proxy, server, status):
    rows = [metric(0, n) for n in range(5)]
    proxy.faults = [status] * 3
    assert sender(proxy.connection).send(actions_of(rows)) == {}
    assert [body.count(b"_index") for body in proxy.bulks] == [5] * 4
    assert stored(server.hosts) == documents(*rows)


def test_an_alias_over_two_indices_without_a_write_index_is_waited_out(server, caplog):
    names = [f"{INDEX}_{n}" for n in (1, 2)]
    template = ask(server.hosts, "GET", f"/{INDEX}/_mapping")[INDEX]
    drop(server.hosts, f"/{INDEX}")
    for name in names:
        ask(server.hosts, "PUT", f"/{name}", template)
    ask(server.hosts, "POST", "/_aliases", {"actions": [{"add": {"index": n, "alias": INDEX}} for n in names]})
    mend = {"actions": [{"remove": {"index": names[1], "alias": INDEX}}]}
    mended = threading.Timer(3, ask, (server.hosts, "POST", "/_aliases", mend))
    mended.start()
    rows = [metric(0, n) for n in range(441)]
    try:
        said = held(sender(server).send, rows, caplog)
        assert stored(server.hosts) == documents(*rows)
    finally:
        mended.join()
        for name in names:
            drop(server.hosts, f"/{name}")
    assert "trying again. 400 illegal_argument_exception: " in said[0]
    assert "an alias must stand for one index" in said[0]
    assert len(said) == 2


def test_a_connection_that_was_dropped_while_idle_costs_no_time_limit(server, monkeypatch):
    """As a firewall does it: what was open isn't passed on any more, and nobody is told."""
    dropped = []
    with forwarding(server.hosts, dropped) as address:
        connection = ElasticsearchConnection(address, request_timeout=20)
        write = sender(connection)
        assert write.send(actions_of([metric(0, 1)])) == {}
        dropped += range(99)
        monkeypatch.setattr("clickstream.io.elasticsearch.node.IDLE_SECONDS", -1)
        began = time.monotonic()
        assert write.send(actions_of([metric(0, 2)])) == {}
        assert time.monotonic() - began < 10
    assert stored(server.hosts) == documents(metric(0, 1), metric(0, 2))


@contextmanager
def forwarding(address, dropped):
    """A proxy of connections; of those that are open when `dropped` is filled, nothing is passed on."""
    listening = socket.create_server(("127.0.0.1", 0))
    host, _, port = urlsplit(address).netloc.partition(":")
    open_now = []

    def pass_on(one, other, old):
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if not (dropped and old):
                    other.sendall(data)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                real = socket.create_connection((host, int(port)))
                open_now.extend((client, real))
                old = not dropped
                for pair in ((client, real), (real, client)):
                    threading.Thread(target=pass_on, args=(*pair, old), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        for each in (listening, *open_now):
            each.close()


def test_an_outage_during_a_write_is_waited_out_and_nothing_is_missing(elasticsearch, server):
    def outage():
        elasticsearch.stop()
        time.sleep(3)
        elasticsearch.start()

    waits = []
    write = sender(server, 120)
    patience = write.new_patience
    write.new_patience = lambda: replace(patience(), sleep=lambda pause: (waits.append(pause), time.sleep(pause)))
    rows, breaking = [], threading.Thread(target=outage)
    for first in range(0, 100_000_000, 1_000):
        rows += (batch := [metric(0, first + n) for n in range(1_000)])
        assert write.send(actions_of(batch)) == {}
        if first == 5_000:
            breaking.start()
        elif first > 5_000 and not breaking.is_alive():
            break
    assert waits
    assert stored(elasticsearch.address) == documents(*rows)


# What somebody has to put right


@pytest.mark.parametrize(("status", "cure"), [(401, "check the API key"), (403, "grant")])
def test_a_refused_login_fails_at_once_with_the_cure_and_without_secret_or_document(proxy, monkeypatch, status, cure):
    monkeypatch.setenv("ES_KEY", SECRET)
    proxy.faults = [status] * 10
    connection = replace(proxy.connection, api_key="env:ES_KEY")
    with pytest.raises(Exception, match=rf"Elasticsearch answered {status} injected: {cure}") as caught:
        run(connection, [(0, table_of([metric()]))])
    assert len(proxy.bulks) == 1
    assert proxy.authorizations == {f"ApiKey {SECRET}"}
    assert SECRET not in str(caught.value)
    assert "a.example" not in str(caught.value)


def test_user_and_password_are_sent_and_an_item_that_is_forbidden_fails_at_once(proxy, monkeypatch):
    monkeypatch.setenv("ES_PASSWORD", "p:ä")
    connection = replace(proxy.connection, user="app", password="env:ES_PASSWORD")
    proxy.faults = [{identity(metric()): 403}]
    with pytest.raises(ElasticsearchError, match=r"refuses to write \(403 injected_item\): grant") as caught:
        sender(connection).send(actions_of([metric()]))
    assert proxy.authorizations == {"Basic YXBwOnA6w6Q="}
    assert SECRET not in str(caught.value)


@contextmanager
def setting(address, name, value):
    ask(address, "PUT", "/_cluster/settings", {"persistent": {name: value}})
    try:
        yield
    finally:
        ask(address, "PUT", "/_cluster/settings", {"persistent": {name: None}})


def test_an_index_that_is_not_there_or_closed_or_blocked_fails_at_once_with_the_cure(server):
    ask(server.hosts, "PUT", f"/{INDEX}/_settings", {"index.blocks.write": True})
    with pytest.raises(ElasticsearchError, match=r"cluster_block_exception\): .* free space"):
        sender(server).send(actions_of([metric()]))
    ask(server.hosts, "PUT", f"/{INDEX}/_settings", {"index.blocks.write": False})
    ask(server.hosts, "POST", f"/{INDEX}/_close")
    with pytest.raises(ElasticsearchError, match=r"index_closed_exception\): open the index"):
        sender(server).send(actions_of([metric()]))
    ask(server.hosts, "DELETE", f"/{INDEX}")
    missing = pytest.raises(ElasticsearchError, match=r"index_not_found_exception\): .*setup-sinks")
    with setting(server.hosts, "action.auto_create_index", "false"), missing:
        sender(server).send(actions_of([metric()]))
    with pytest.raises(ElasticsearchError, match=r"index_not_found_exception.*setup-sinks"):
        check_elasticsearch(server.connect(), INDEX)


def test_an_index_deleted_under_way_comes_back_with_the_same_strict_mapping(server):
    ask(server.hosts, "DELETE", f"/{INDEX}")
    assert sender(server).send(actions_of([metric()])) == {}
    check_elasticsearch(server.connect(), INDEX)
    assert ask(server.hosts, "GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]["dynamic"] == "strict"


@pytest.mark.parametrize(
    ("field", "found", "complaint"),
    [
        ("url", {"type": "text"}, "field url: found text, needed keyword"),
        ("window_start", {"type": "long"}, "field window_start: found long, needed date"),
        ("window_end", {"type": "date", "format": "epoch_millis"}, "field window_end: found date format epoch_millis"),
        ("clicks", None, "field clicks: found none, needed long"),
        ("users_sketch", None, "field users_sketch: found none, needed long"),
        ("time_spent_histogram", {"type": "flattened"}, "field time_spent_histogram: found flattened, needed object"),
        ("time_spent_histogram", {"type": "object"}, "field time_spent_histogram: found enabled true, needed false"),
        (
            "users_sketch",
            {"type": "long", "doc_values": False},
            "field users_sketch: found doc_values false, needed true",
        ),
        ("url", {"type": "keyword", "ignore_above": 256}, "field url: found ignore_above 256, needed 8192"),
    ],
)
def test_another_mapping_is_one_line_that_names_field_found_needed_and_cure(server, field, found, complaint):
    properties = {name: value for name, value in (MAPPING | {field: found}).items() if value}
    ask(server.hosts, "DELETE", f"/{INDEX}")
    ask(server.hosts, "DELETE", f"/_index_template/{INDEX}")
    ask(server.hosts, "PUT", f"/{INDEX}", {"mappings": {"properties": properties}})
    for check in (check_elasticsearch, setup_elasticsearch):
        with pytest.raises(ElasticsearchError, match=f"index {INDEX}, {complaint}.*: reindex it") as caught:
            check(server.connect(), INDEX)
        assert "\n" not in str(caught.value)


def test_setup_twice_changes_nothing_and_keeps_the_documents(server):
    assert sender(server).send(actions_of([metric()])) == {}
    before = ask(server.hosts, "GET", f"/{INDEX}/_mapping")
    setup_elasticsearch(server.connect(), INDEX)
    assert ask(server.hosts, "GET", f"/{INDEX}/_mapping") == before
    assert stored(server.hosts) == documents(metric())


def test_something_else_at_the_address_is_said_to_be_so():
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        client = ElasticsearchConnection(f"http://127.0.0.1:{other.server_address[1]}").connect()
        with pytest.raises(ElasticsearchError, match=r"is not Elasticsearch: check the host"):
            check_elasticsearch(client, INDEX)
        other.shutdown()


def test_tls_to_a_port_that_speaks_http_is_one_line(server):
    secure = replace(server, hosts=server.hosts.replace("http:", "https:"), verify=False)
    with pytest.warns(Warning, match="insecure"):
        client = secure.connect()
    with pytest.raises(ElasticsearchError, match=r"no TLS connection .*check http or https") as caught:
        check_elasticsearch(client, INDEX)
    assert "\n" not in str(caught.value)


# Cost


def test_a_document_costs_little_processor_time_and_memory(server):
    urls = pa.array([f"https://shop.example/page/{number}" for number in range(100_000)])
    table = table_of([metric()] * 100_000).set_column(2, PAGE_METRICS_SCHEMA.field("url"), urls)
    write = sender(server)
    began, held = time.process_time(), pa.total_allocated_bytes()
    for actions in action_batches(table, INDEX):
        assert write.send(actions) == {}
    cost = time.process_time() - began
    assert cost / 100_000 < 15e-6  # 2 µs on a quiet machine
    tracemalloc.start()  # by itself: it takes several times as long
    for actions in action_batches(table.slice(0, 30_000), INDEX):
        assert write.send(actions) == {}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40e6
    assert pa.total_allocated_bytes() - held < 20e6
    ask(server.hosts, "POST", f"/{INDEX}/_refresh")
    assert ask(server.hosts, "GET", f"/{INDEX}/_count")["count"] == 100_000
