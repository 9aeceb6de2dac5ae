"""What the sink has stored in a real server: exactly the rows, in their highest version."""

import random
import threading
import time
import tracemalloc
from datetime import timedelta

import pyarrow as pa
import pytest
from apache_beam.testing.util import equal_to
from rows import MAX_THETA, START, document, metric, rows_of_all_kinds, sketch, table_of
from services.bulk_proxy import INDEX, actions_of, ask, documents, identity, run, sender, stored

from clickstream.io.elasticsearch.actions import action_batches
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA


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
