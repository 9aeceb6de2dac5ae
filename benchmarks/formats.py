"""Parsing events of other shapes against the built-in one: CPU time per byte of JSON, and per event.

usage: python benchmarks/formats.py [EVENTS]
"""

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from clickstream.transforms import METRIC_COLUMNS, ParseOptions, RawBatch
from clickstream.transforms.lines import Lines
from clickstream.transforms.parse import EventFormat, KnownShapes, event_format, parse_clicks, parse_format

BATCH, ROUNDS = 10_000, 7
OWN = """
fields:
  user_id: [user.id, user.cookie]
  timestamp: {path: ts, unit: ms}
  url: {path: page.path, base: "https://shop.example"}
  country: geo.code
only: {path: kind, is: page}
types: lenient
"""


def click(n: int, time_ms: int) -> dict[str, Any]:
    """The built-in shape, nested."""
    family = {"user_id": f"u{n % 5000}", "timestamp": _iso(time_ms), "url": _url(n), "time_spent": 1.5}
    agent = {"browser": "Firefox", "os": "Linux", "device": "desktop"}
    return {
        "row_key": f"k{n}",
        "click_data": family,
        "geo_data": {"country": "India", "city": "Mumbai"},
        "user_agent_data": agent,
    }


def segment(n: int, time_ms: int) -> dict[str, Any]:
    """A page call."""
    page = {"url": _url(n), "path": f"/p{n % 900}", "title": "A page", "referrer": ""}
    context = {
        "library": {"name": "a.js", "version": "2.11"},
        "page": page,
        "ip": "192.0.2.7",
        "location": {"country": "India"},
    }
    ids = {"userId": f"u{n % 5000}", "anonymousId": f"a{n}", "messageId": f"m{n}"}
    return {"type": "page", **ids, "timestamp": _iso(time_ms), "properties": page, "context": context}


def ga4(n: int, time_ms: int) -> dict[str, Any]:
    """An exported page view."""
    params = [
        {"key": "ga_session_id", "value": {"int_value": str(n)}},
        {"key": "page_location", "value": {"string_value": _url(n)}},
        {"key": "engagement_time_msec", "value": {"int_value": "1500"}},
    ]
    device = {"category": "mobile", "operating_system": "Android", "web_info": {"browser": "Chrome"}}
    head = {"event_date": "20261101", "event_timestamp": str(time_ms * 1000), "event_name": "page_view"}
    return {
        **head,
        "event_params": params,
        "user_pseudo_id": f"u{n % 5000}",
        "device": device,
        "geo": {"country": "India"},
    }


def own(n: int, time_ms: int) -> dict[str, Any]:
    """What OWN reads."""
    page = {"path": f"/p{n % 900}", "title": "A page"}
    return {
        "kind": "page",
        "user": {"id": n % 5000, "cookie": f"c{n}"},
        "ts": time_ms,
        "page": page,
        "geo": {"code": "IN"},
    }


def _url(n: int) -> str:
    return f"https://shop.example/p{n % 900}"


def _iso(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000)) + f".{time_ms % 1000:03}Z"


def measure(
    make: Callable[[int, int], dict[str, Any]], read_by: EventFormat | None, events: int
) -> tuple[float, float]:
    """The best CPU time of some rounds: nanoseconds a byte, microseconds an event."""
    chance = random.Random(7)
    values = [
        json.dumps(make(n, 1_793_527_200_000 + chance.randrange(10**6)), separators=(",", ":")).encode()
        for n in range(events)
    ]
    batches = [Lines(b"\n".join(values[start : start + BATCH]) + b"\n") for start in range(0, events, BATCH)]
    options, shapes, best = ParseOptions(columns=METRIC_COLUMNS, event_format=read_by), KnownShapes(), float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        parsed = [
            parse_clicks(RawBatch(b, "b", range(len(b))), options, now_ms=1_793_530_000_000, shapes=shapes)
            for b in batches
        ]
        best = min(best, time.process_time() - began)
        if sum(each.clicks.num_rows for each in parsed) != events:
            message = "not every event became a click"
            raise RuntimeError(message)
    return best / sum(map(len, values)) * 1e9, best / events * 1e6


def main(events: str = "50000") -> None:
    """Prints a line a shape."""
    made = {
        "clickstream": (click, None),
        "segment": (segment, event_format("segment")),
        "ga4": (ga4, event_format("ga4")),
        "a file of one's own": (own, parse_format(OWN, "own.yaml")),
    }
    base = 0.0
    for name, (make, read_by) in made.items():
        a_byte, an_event = measure(make, read_by, int(events))
        base = base or a_byte
        print(
            f"{name:20} {a_byte:6.2f} ns/byte  {an_event:6.2f} us/event  {a_byte / base:5.2f} times the built-in shape"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
