"""What a source's watermark is made of: only times that parsing would accept have a say."""

import json
import time
from datetime import datetime, timezone

import pytest

from clickstream.transforms.parse.event_time import LatestEventTime
from clickstream.transforms.parse.formats import event_format

NOW = int(time.time() * 1000)


def record(timestamp: object, nested: bool = False) -> bytes:
    click = {"user_id": "u", "timestamp": timestamp, "url": "http://a/"}
    country = {"country": "Kenya"}
    return json.dumps({"click_data": click, "geo_data": country} if nested else click | country).encode()


@pytest.mark.parametrize("nested", [True, False])
def test_the_latest_plausible_time_wins(nested) -> None:
    times = [NOW - 5000, NOW - 1000, NOW - 3000, NOW + 864_000_000, "never", -1]
    values = [record(at, nested) for at in times] + [b"", b"{", b"\xff", record(NOW - 2000, not nested)]
    assert LatestEventTime()(values) == NOW - 1000
    assert LatestEventTime(max_clock_skew_seconds=None)(values) == NOW + 864_000_000


def test_no_plausible_time_is_none() -> None:
    assert LatestEventTime()([]) is None
    assert LatestEventTime()([b"x", record("x"), record(NOW + 864_000_000)]) is None
    assert LatestEventTime(max_event_age_seconds=60)([record(NOW - 120_000)]) is None


@pytest.mark.parametrize("count", [3, 300])
def test_an_event_of_another_shape_has_its_time_where_its_format_says(count) -> None:
    def event(seconds_ago: int, kind: str = "page") -> bytes:
        at = datetime.fromtimestamp(NOW // 1000 - seconds_ago, timezone.utc).isoformat()
        return json.dumps(
            {"type": kind, "userId": "u", "timestamp": at, "properties": {"url": "https://a.example/"}}
        ).encode()

    values = [event(5 + n) for n in range(count)] + [event(1, "track"), b"{"]
    assert LatestEventTime(event_format=event_format("segment"))(values) == (NOW // 1000 - 5) * 1000
    assert LatestEventTime()(values) is None
