"""A sound record, nested and flat, and what parsing makes of it."""

import copy
import json

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import parse_clicks

NOW = 1_795_000_000_000


OPTIONS = ParseOptions()


NESTED = {
    "row_key": "k1",
    "click_data": {
        "user_id": "u1",
        "timestamp": "2026-11-01T10:00:00.250Z",
        "url": "https://a.example/x",
        "time_spent": 1.5,
    },
    "geo_data": {"country": "India", "city": "Mumbai"},
    "user_agent_data": {"browser": "Firefox", "os": "Linux", "device": "desktop"},
}


FLAT = {"row_key": "k1"} | NESTED["click_data"] | NESTED["geo_data"] | NESTED["user_agent_data"]


def parse(*values: bytes, options: ParseOptions = OPTIONS, **batch):
    first = batch["span"].start if "span" in batch else 0
    positions = range(first, first + len(values))
    return parse_clicks(RawBatch(list(values), "log", positions, **batch), options, now_ms=NOW)


def outcome(value: bytes, options: ParseOptions = OPTIONS) -> tuple:
    """The click as a dict, or the reason why not."""
    parsed = parse(value, options=options)
    assert parsed.clicks.num_rows + parsed.too_late.num_rows + parsed.rejected.num_rows == 1
    if parsed.rejected.num_rows:
        assert parsed.rejected["raw"][0].as_py() == value
        return ("rejected", parsed.rejected["reason"][0].as_py())
    return ("click", parsed.clicks.to_pylist()[0])


def dumps(record, **changes) -> bytes:
    record = copy.deepcopy(record)
    for path, value in changes.items():
        place = record
        *parents, name = path.split("__")
        for parent in parents:
            place = place[parent]
        place[name] = value
    return json.dumps(record).encode()
