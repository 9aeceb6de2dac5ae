"""Dead letters keep the exact bytes, whatever they are and however many."""

import base64
import json

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka.dead_letters import dead_letter_messages
from clickstream.transforms.schema import REJECTED_SCHEMA


def rejected(raw, detail="no JSON"):
    return pa.table(
        [["kafka:clicks/3"], [17], [1_793_491_200_123], ["malformed_json"], [detail], [raw]], schema=REJECTED_SCHEMA
    )


def test_a_message_says_where_the_record_was_and_why_it_was_rejected():
    [(key, value)] = dead_letter_messages(rejected(b"{\xff"), code_version="1.2")
    assert key == b"kafka:clicks/3:17"
    assert json.loads(value) == {
        "source": "kafka:clicks/3",
        "position": 17,
        "record_timestamp": "2026-11-01T00:00:00.123Z",
        "reason": "malformed_json",
        "detail": "no JSON",
        "raw": "e/8=",
        "part": 1,
        "parts": 1,
        "code_version": "1.2",
    }


@given(st.binary(max_size=300))
def test_any_bytes_come_back(raw):
    [(_, value)] = dead_letter_messages(rejected(raw), code_version="1")
    assert base64.b64decode(json.loads(value)["raw"]) == raw


def test_a_record_too_large_for_a_message_comes_in_parts():
    raw = bytes(range(256)) * 5_000
    messages = [json.loads(value) for _, value in dead_letter_messages(rejected(raw), code_version="1")]
    assert [(m["part"], m["parts"]) for m in messages] == [(1, 3), (2, 3), (3, 3)]
    assert b"".join(base64.b64decode(m["raw"]) for m in messages) == raw
    assert all(len(m["raw"]) < 900_000 for m in messages)


def test_a_long_detail_is_cut():
    [(_, value)] = dead_letter_messages(rejected(b"x", "d" * 5_000), code_version="1")
    assert len(json.loads(value)["detail"]) == 2_000
