"""Documents, and whole requests, that the server or a proxy before it refuses."""

import json
import threading
import time

import pytest
from apache_beam.testing.util import equal_to
from bulk_bodies import bulk_body
from rows import document, metric, table_of
from services.bulk_proxy import INDEX, SECRET, actions_of, ask, documents, drop, identity, run, sender, stored

from clickstream.io.elasticsearch.actions import action_bytes
from clickstream.io.elasticsearch.connection import send_bulk
from clickstream.io.elasticsearch.mapping import MAPPING


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
