"""Bulk bodies and the answers to them, against a naive implementation."""

import base64
import hashlib
import json
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from bulk_bodies import bulk_body, bulk_chunks, document_id
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import MAX_THETA, PAGE, START, document, histogram, metric, rows_of_all_kinds, sketch, table_of

from clickstream.io.elasticsearch import actions as bulk
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

HOSTILE = [
    '"',
    "\\",
    "\n",
    "\r\n",
    "\0",
    "\x1f",
    "\x7f",
    "\u2028",
    "'",
    "</script>",
    "𝄞",
    "é",
    '"}\n{"delete":{}}',
    "%s{0}",
]

texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join))
counts = st.integers(0, 2**63 - 1)
seconds = st.integers(0, 7_000_000_000)


@st.composite
def rows(draw, windows=seconds):
    start = datetime.fromtimestamp(draw(windows), timezone.utc)
    times = {name: draw(st.none() | st.floats()) for name in ("avg_time_spent", "median_time_spent", "p90_time_spent")}
    hashes = st.sets(st.integers(0, MAX_THETA - 1), max_size=5)
    known = st.dictionaries(st.floats(0, 1e6), st.integers(1, 2**40), min_size=1, max_size=3)
    return metric(
        page=draw(texts),
        country=draw(texts),
        version=draw(st.integers(-3, MAX_THETA)),
        window_start=start,
        window_end=start + timedelta(seconds=300),
        time_spent_seconds=draw(st.floats()),
        **{name: draw(counts) for name in ("clicks", "unique_users", "timed_clicks")},
        **{name: draw(st.none() | counts) for name in ("sessions", "bounces")},
        **times,
        time_spent_histogram=draw(st.none() | known.map(histogram)),
        users_theta=draw(st.none() | st.just(MAX_THETA) | st.integers(1, MAX_THETA)),
        users_sketch=draw(st.none() | hashes.map(sketch)),
    )


tables = st.one_of(st.lists(rows(), max_size=12), st.lists(rows(st.just(1_714_564_800)), max_size=12))


def naive_lines(found, index):
    key = f"{int(found['window_start'].timestamp())}\0{found['url']}\0{found['country']}".encode()
    identity = base64.urlsafe_b64encode(hashlib.sha256(key).digest()[:18]).decode().rstrip("=")
    action = {"_index": index, "_id": identity, "version": max(found["version"], 1), "version_type": "external_gte"}
    return {"index": action}, document(found)


def decoded(body):
    assert body == b"" or body.endswith(b"\n")
    lines = [json.loads(line) for line in body.split(b"\n")[:-1]]
    return list(zip(lines[::2], lines[1::2], strict=True))


def answer(*items):
    found = [{"index": {"status": status} | ({"error": error} if error else {})} for status, error in items]
    return json.dumps({"errors": any(status > 201 for status, _ in items), "items": found}).encode()


@settings(max_examples=300)
@given(tables)
def test_the_body_is_what_a_naive_implementation_writes_row_for_row(found):
    body = bulk_body(table_of(found), "some_index")
    assert decoded(body) == [naive_lines(each, "some_index") for each in found]


@settings(max_examples=200)
@given(st.lists(rows(), max_size=30), st.integers(1, 4_000), st.integers(1, 9))
def test_chunks_stay_within_their_limits_and_hold_each_row_once(found, max_bytes, max_actions):
    table = table_of(found)
    chunks = list(bulk_chunks(table, "i", max_bytes, max_actions))
    assert [number for chunk in chunks for number in chunk.rows] == list(range(len(found)))
    assert b"".join(chunk.body for chunk in chunks) == bulk_body(table, "i")
    for chunk in chunks:
        assert len(decoded(chunk.body)) == len(chunk.rows) <= max_actions
        assert len(chunk.body) <= max_bytes or len(chunk.rows) == 1


def test_chunks_are_as_large_as_the_limits_allow():
    table = table_of([metric(0, n) for n in range(100, 200)])
    size = len(bulk_body(table.slice(0, 1), "i"))
    assert [len(chunk.rows) for chunk in bulk_chunks(table, "i", max_bytes=size * 30)] == [30, 30, 30, 10]
    assert [len(chunk.rows) for chunk in bulk_chunks(table, "i", max_actions=40)] == [40, 40, 20]


@given(seconds, texts, texts)
def test_the_id_is_that_of_the_body(second, url, country):
    start = datetime.fromtimestamp(second, timezone.utc)
    table = table_of([metric(page=url, country=country, window_start=start)])
    assert decoded(bulk_body(table, "i"))[0][0]["index"]["_id"] == document_id(start, url, country)
    assert len(document_id(start, url, country)) == 24


def test_a_table_of_many_pieces_larger_than_a_batch_is_written_whole():
    pieces = [table_of([metric(0, n) for n in range(first, first + 7_000)]) for first in (0, 7_000, 14_000)]
    found = decoded(bulk_body(pa.concat_tables(pieces), "i"))
    assert [stored["url"] for _, stored in found] == [f"{PAGE}{n}" for n in range(21_000)]


def test_rows_with_large_sketches_are_made_into_actions_few_at_a_time(monkeypatch):
    monkeypatch.setattr(bulk, "_BATCH_BYTES", 100_000)
    large = rows_of_all_kinds()[5]
    table = table_of([metric(0, n) for n in range(50)] + [large] * 3 + [metric(0, n) for n in range(50)])
    batches = list(bulk.action_batches(table, "i"))
    assert max(map(len, batches)) < len(table)
    assert max(map(bulk.size_of, batches)) < 200_000
    assert [stored for _, stored in decoded(b"".join(map(bulk.action_bytes, batches)))] == [
        document(found) for found in table.to_pylist()
    ]


def test_whether_the_sketch_holds_all_users_is_said_row_for_row():
    thetas = [MAX_THETA, MAX_THETA - 1, None, 1]
    for chosen in (thetas, thetas[:1], thetas[1:2], thetas[2:3], thetas[:2]):
        table = table_of([metric(0, n, users_theta=theta) for n, theta in enumerate(chosen)])
        found = [(each["users_theta"], each["users_exact"]) for _, each in decoded(bulk_body(table, "i"))]
        assert found == [(theta, None if theta is None else theta == MAX_THETA) for theta in chosen]


def test_an_empty_table_gives_no_bytes_and_no_chunks():
    assert bulk_body(PAGE_METRICS_SCHEMA.empty_table(), "i") == b""
    assert list(bulk_chunks(PAGE_METRICS_SCHEMA.empty_table(), "i")) == []


def test_a_version_below_one_is_sent_as_one_and_stored_as_it_is():
    action, stored = decoded(bulk_body(table_of([metric(version=0)]), "i"))[0]
    assert (action["index"]["version"], stored["version"]) == (1, 0)


def test_windows_in_split_seconds_would_share_an_id_and_are_not_expected():
    early, late = START, START + timedelta(milliseconds=1)
    assert document_id(early, "u", "c") == document_id(late, "u", "c")


def actions_of(count, **changes):
    return next(bulk.action_batches(table_of([metric(0, n, **changes) for n in range(count)]), "i"))


def test_an_answer_without_errors_counts_all_as_written():
    assert bulk.read_answer(answer((200, None), (201, None)), actions_of(2)) == (2, 0, [], "", {})


def test_each_item_of_an_answer_is_sorted_by_what_is_to_be_done():
    parsing = {
        "type": "document_parsing_exception",
        "reason": "[1:9] failed to parse field [clicks] of type [long] in document. Preview of field's value: 'secret'",
        "caused_by": {"type": "illegal_argument_exception", "reason": 'For input string: "secret"'},
    }
    found = bulk.read_answer(
        answer(
            (201, None),
            (409, {"type": "version_conflict_engine_exception", "reason": "..."}),
            (429, {"type": "es_rejected_execution_exception", "reason": "queue"}),
            (400, parsing),
            (503, {"type": "unavailable_shards_exception"}),
            (200, None),
        ),
        actions_of(6),
    )
    assert (found.written, found.already_newer, found.again) == (2, 1, [2, 4])
    assert found.cause.startswith("429 es_rejected_execution_exception: ")
    assert found.refused == {3: "400 document_parsing_exception, illegal_argument_exception (field clicks)"}


@pytest.mark.parametrize(
    ("status", "kind", "cure"),
    [
        (401, "security_exception", "API key"),
        (403, "security_exception", "grant"),
        (403, "cluster_block_exception", "free space"),
        (404, "index_not_found_exception", "setup-sinks"),
        (400, "index_closed_exception", "open the index"),
    ],
)
def test_an_item_refused_for_no_fault_of_its_own_fails_with_the_cure(status, kind, cure):
    with pytest.raises(bulk.ElasticsearchError, match=cure) as caught:
        bulk.read_answer(answer((201, None), (status, {"type": kind, "reason": "no"})), actions_of(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "found", [answer((201, None)), b"{}", b"<html>", b"", b'{"errors":false,"items":[{}]}', b"[1]"]
)
def test_an_answer_that_does_not_account_for_each_action_fails(found):
    with pytest.raises(bulk.ElasticsearchError, match="of 2 documents"):
        bulk.read_answer(found, actions_of(2))


@pytest.mark.parametrize(
    "error",
    [
        {"type": "strict_dynamic_mapping_exception"},
        {"type": "mapper_parsing_exception", "caused_by": {"type": "illegal_argument_exception"}},
        {"type": "illegal_argument_exception", "caused_by": {"type": "max_bytes_length_exceeded_exception"}},
    ],
)
def test_a_refusal_that_names_the_document_is_the_rows_own(error):
    found = bulk.read_answer(answer((201, None), (400, error)), actions_of(2))
    assert (found.again, list(found.refused)) == ([], [1])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "illegal_argument_exception", "reason": "no write index is defined for alias [clicks]. …"}),
        (400, {"type": "illegal_argument_exception", "reason": "Limit of total fields [1000] has been exceeded"}),
        (400, None),
        (418, {"type": "teapot"}),
        (413, {"type": "too_large"}),
    ],
)
def test_any_other_refusal_is_the_servers_and_the_document_is_sent_again(status, error):
    found = bulk.read_answer(answer((201, None), (status, error)), actions_of(2))
    assert (found.again, found.refused) == ([1], {})
    assert str(status) in found.cause


def test_a_refusal_quotes_no_value_of_the_document():
    canary = "https://shop.example/?token=CANARY['\"]"
    reason = f"failed to parse field [url] in document. Preview of field's value: '{canary}0' [{canary}0]"
    found = bulk.read_answer(
        answer((400, {"type": "document_parsing_exception", "reason": reason})), actions_of(1, url=canary)
    )
    assert found.refused == {0: "400 document_parsing_exception (field url)"}
