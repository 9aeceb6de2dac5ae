from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.page.address import RANGES, Address, read_address

ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"])
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(
    lambda text: text.isprintable() and text == text.strip()
)
TIMES = st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, timezone.utc))


@given(st.sampled_from([*RANGES, "free"]), TIMES, st.integers(1, 10**8), TEXTS, TEXTS, st.booleans(), ZONES)
def test_an_address_says_all_of_a_view(name, start, seconds, url, country, compare, zone) -> None:
    times = (start, start + timedelta(seconds=seconds)) if name == "free" else (None, None)
    address = Address(name, *times, url, country, compare)
    assert read_address(dict(parse_qsl(address.query(zone))), zone) == address


def test_the_usual_view_has_the_shortest_address() -> None:
    assert Address().query("UTC") == ""
    assert (
        read_address({"range": "1d", "page": " ", "country": "", "from": "2026-11-01", "compare": ""}, "UTC")
        == Address()
    )


def test_times_are_the_sites() -> None:
    address = read_address({"range": "free", "from": "2026-11-01T05:30", "to": "2026-11-02"}, "Asia/Kolkata")
    assert (address.start, address.end) == (
        datetime(2026, 11, 1, tzinfo=timezone.utc),
        datetime(2026, 11, 1, 18, 30, tzinfo=timezone.utc),
    )
    assert address.query("Asia/Kolkata") == "range=free&from=2026-11-01T05%3A30&to=2026-11-02T00%3A00"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"range": "2h"}, "no range of that name: choose one of 1h, 1d, 7d, 30d or free"),
        ({"range": "free"}, "needs two times"),
        ({"range": "free", "from": "2026-11-01", "to": "soon"}, "needs two times"),
        ({"range": "free", "from": "0001-01-01", "to": "2026-11-01"}, "needs two times"),
        ({"range": "free", "from": "2026-11-02", "to": "2026-11-01"}, "must begin before it ends"),
        ({"page": "https://a.example/\u202e"}, "doesn't print"),
        ({"country": "x" * 9000}, "too long"),
    ],
)
def test_what_is_no_address_is_told(query, said) -> None:
    with pytest.raises(UserError, match=said):
        read_address(query, "UTC")
