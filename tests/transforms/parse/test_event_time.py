"""What a source's watermark is made of: only times that parsing would accept have a say."""

import json
import time

import pytest

from clickstream.transforms.parse.event_time import LatestEventTime

NOW = int(time.time() * 1000)


def record(timestamp: object, nested: bool = False) -> bytes:
    click = {"user_id": "u", "timestamp": timestamp, "url": "http://a/"}
    country = {"country": "Kenya"}
    return json.dumps({"click_data": click, "geo_data": country} if nested else click | country).encode()


@pytest.mark.parametrize("nested", [True, False])
def test_the_latest_plausible_time_wins(nested) -> None:
    times = [NOW - 5000, NOW - 1000, NOW - 3000, NOW + 3_600_000, "never", -1]
    values = [record(at, nested) for at in times] + [b"", b"{", b"\xff", record(NOW - 2000, not nested)]
    assert LatestEventTime()(values) == NOW - 1000
    assert LatestEventTime(max_clock_skew_seconds=None)(values) == NOW + 3_600_000


def test_no_plausible_time_is_none() -> None:
    assert LatestEventTime()([]) is None
    assert LatestEventTime()([b"x", record("x"), record(NOW + 3_600_000)]) is None
    assert LatestEventTime(max_event_age_seconds=60)([record(NOW - 120_000)]) is None
