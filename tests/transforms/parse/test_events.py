"""Whatever a pipeline holds its events in: the record is the same, or its own dead letter."""

import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp

from clickstream.transforms import BatchClicks, ParseClicks, ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import parse_clicks
from clickstream.transforms.parse.events import to_record

PLAIN = {"user_id": "u1", "timestamp": "2026-11-01T10:00:00.250Z", "url": "https://a.example/x", "country": "India"}
TIME = datetime(2026, 11, 1, 10, 0, 0, 250_000, tzinfo=timezone.utc)


class Tuple(NamedTuple):
    user_id: str
    timestamp: Any
    url: str
    country: str


@dataclass(frozen=True)
class Data:
    user_id: str
    timestamp: Any
    url: str
    country: str


class Country(Enum):
    INDIA = "India"


CARRIERS = {
    "bytes": json.dumps(PLAIN).encode(),
    "bytearray": bytearray(json.dumps(PLAIN).encode()),
    "text": json.dumps(PLAIN),
    "dict": PLAIN,
    "another mapping": MappingProxyType(OrderedDict(PLAIN)),
    "beam.Row": beam.Row(**PLAIN),
    "NamedTuple": Tuple(**PLAIN),
    "dataclass": Data(**PLAIN),
    "pair with bytes": (b"key", json.dumps(PLAIN).encode()),
    "pair with a row": (None, beam.Row(**PLAIN)),
    "families in rows": {
        "click_data": Tuple(**PLAIN),
        "geo_data": beam.Row(country="India"),
    },
}
TIMES = {
    "datetime": TIME,
    "datetime of another zone": TIME.astimezone(timezone(timedelta(hours=5.5))),
    "naive datetime": TIME.replace(tzinfo=None),
    "beam's": Timestamp.from_utc_datetime(TIME),
    "NumPy's": np.datetime64("2026-11-01T10:00:00.250"),
    "NumPy's in ns": np.datetime64("2026-11-01T10:00:00.250000001", "ns"),
    "Decimal": Decimal("1793527200.250"),
    "whole Decimal": Decimal(1793527200250),
    "NumPy's integer": np.int64(1793527200250),
    "NumPy's float": np.float64(1793527200.25),
}


def click(event: Any) -> dict | None:
    found = parse_clicks(RawBatch([to_record(event)], "log", [0]), ParseOptions(), now_ms=1_793_600_000_000)
    return found.clicks.to_pylist()[0] if found.clicks.num_rows else None


@pytest.mark.parametrize("name", CARRIERS)
def test_each_carrier_holds_the_same_click(name) -> None:
    assert click(CARRIERS[name]) == click(PLAIN) is not None


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("carrier", [dict, Tuple, Data, beam.Row])
def test_each_type_of_time_is_the_same_time(name, carrier) -> None:
    assert click(carrier(**PLAIN | {"timestamp": TIMES[name]}))["timestamp"] == TIME


OTHERS = {
    "a decimal": ({"time_spent": Decimal("1.5")}, {"time_spent": 1.5}),
    "NaN": ({"time_spent": float("nan")}, {"time_spent": None}),
    "NumPy's NaN": ({"country": np.nan}, {"country": ""}),
    "NaT": ({"session_end": np.datetime64("NaT")}, {"session_end": None}),
    "NumPy's text": ({"city": np.str_("Mumbai")}, {"city": "Mumbai"}),
    "an enum": ({"country": Country.INDIA}, {"country": "India"}),
    "bytes": ({"city": b"Mumbai"}, {"city": "Mumbai"}),
    "a UUID": ({"user_id": UUID(int=7)}, {"user_id": str(UUID(int=7))}),
    "a field of others": ({"others": [np.arange(3), {1, 2}, {"x": Decimal(1)}]}, {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_types_mean_what_they_seem_to(name) -> None:
    given, meant = OTHERS[name]
    without = {"row_key": "k"} | PLAIN
    assert click(without | given) == click(without) | meant


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


ODD = [
    object(),
    Unshowable(),
    {"user_id": object()},
    17,
    None,
    ("a", "b", "c"),
    (b"key", None),
    {"x": 1 + 2j},
    lambda: 0,
]


@pytest.mark.parametrize("event", ODD, ids=lambda event: type(event).__name__)
def test_an_odd_element_is_no_click_and_no_end(event) -> None:
    assert click(event) is None


def test_one_odd_element_costs_no_other() -> None:
    with TestPipeline(runner="FnApiRunner") as pipeline:
        events = pipeline | beam.Create([PLAIN, object, Tuple(**PLAIN), (b"key", PLAIN)])
        parsed = events | BatchClicks() | ParseClicks(ParseOptions(max_clock_skew_seconds=None))
        clicks = (
            parsed.clicks
            | "Clicks" >> beam.Map(lambda table: table.num_rows)
            | "SumClicks" >> beam.CombineGlobally(sum)
        )
        refused = parsed.rejected | beam.FlatMap(lambda table: table["reason"].to_pylist())
        assert_that(clicks, equal_to([3]))
        assert_that(refused, equal_to(["invalid_json"]), label="refused")
