"""The shapes that were refused, nine of nine, and the first thing that each is: a click."""

from pathlib import Path

import pytest

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import parse_clicks
from clickstream.transforms.parse.formats import event_format, parse_format

NOW = 1_793_600_000_000
RECORDS = Path(__file__).with_name("shapes.ndjson").read_bytes().splitlines()
OWN = """
fields:
  user_id: [user._user_id.value, device_id]
  timestamp: {path: timestamp, unit: ms}
  url: attributes._page_url
  country: geo.country
  time_spent: {path: attributes._engagement_time_msec, unit: ms}
only: {path: event_type, is: _page_view}
"""
LENIENT = "fields: {user_id: user_id, timestamp: timestamp, url: url, country: country}\ntypes: lenient"
SHOP = "https://shop.example"
SHAPES = (
    (event_format("ksqldb", base=SHOP), ("17", f"{SHOP}/site/login.html", "")),
    (event_format("segment"), ("a-1", f"{SHOP}/a", "")),
    (event_format("ga4"), ("1.2", f"{SHOP}/a", "India")),
    (event_format("snowplow"), ("d-1", f"{SHOP}/a", "IN")),
    (parse_format(OWN, "own"), ("u1", f"{SHOP}/a", "")),
    (event_format("posthog"), ("d-1", f"{SHOP}/a", "India")),
    (event_format("debezium"), ("u1", f"{SHOP}/a", "India")),
    (parse_format(LENIENT, "lenient"), ("4711", f"{SHOP}/a", "India")),
    (event_format("clickstream", base=SHOP), ("u1", f"{SHOP}/a", "India")),
)


@pytest.mark.parametrize("number", range(len(SHAPES)))
@pytest.mark.parametrize("many", [1, 300])
def test_each_is_a_click_by_its_format(number, many) -> None:
    shape, (user, url, country) = SHAPES[number]
    batch = RawBatch([RECORDS[number]] * many, "log", range(many))
    parsed = parse_clicks(batch, ParseOptions(event_format=shape), now_ms=NOW)
    assert parsed.rejected.num_rows == 0, parsed.rejected.to_pylist()
    clicks = parsed.clicks.to_pylist()
    assert len(clicks) == many
    assert {(click["user_id"], click["url"], click["country"]) for click in clicks} == {(user, url, country)}
    assert {click["timestamp"].timestamp() // 1 for click in clicks} == {1793527200}


def test_none_is_one_by_the_built_in_shape() -> None:
    parsed = parse_clicks(RawBatch(RECORDS, "log", range(9)), ParseOptions(), now_ms=NOW)
    assert (parsed.clicks.num_rows, parsed.rejected.num_rows) == (0, 9)
