"""Each record is a click or has a reason, whatever its neighbours are."""

import json

import pytest
from click_records import FLAT, NESTED, NOW, dumps, outcome, parse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import read_click

from clickstream.transforms import METRIC_COLUMNS, ParseOptions
from clickstream.transforms.schema import CLICK_SCHEMA, REJECTED_SCHEMA


def test_nested_and_flat_records_give_the_same_click() -> None:
    parsed = parse(dumps(NESTED), dumps(FLAT))
    assert parsed.clicks.schema == CLICK_SCHEMA
    first, second = parsed.clicks.to_pylist()
    assert first == second
    assert first["timestamp"].isoformat() == "2026-11-01T10:00:00.250000+00:00"
    assert (first["row_key"], first["user_id"], first["city"], first["time_spent"]) == ("k1", "u1", "Mumbai", 1.5)


DEEP = b"[" * 100_000 + b"]" * 100_000


BROKEN = {
    b"": "empty_record",
    b" \r": "empty_record",
    b"{": "invalid_json",
    dumps(NESTED)[:-9]: "invalid_json",
    dumps(NESTED) + dumps(NESTED): "invalid_json",
    dumps(FLAT) + dumps(FLAT): "invalid_json",
    dumps(NESTED, geo_data=None) + b"x": "invalid_json",
    DEEP: "too_deep",
    b'{"x":' + DEEP + b"," + dumps(FLAT)[1:]: "too_deep",
    b"[1]": "wrong_type",
    b"17": "wrong_type",
    b"null": "wrong_type",
    dumps(FLAT, user_id=17): "wrong_type",
    dumps(FLAT, country=True): "wrong_type",
    dumps(FLAT, timestamp=None): "wrong_type",
    dumps(FLAT).replace(b"1.5", b"NaN"): "invalid_json",
    dumps(FLAT).replace(b"1.5", b"Infinity"): "invalid_json",
    dumps(FLAT, timestamp=7).replace(b": 7,", b": " + b"9" * 5000 + b","): "out_of_range",
    dumps(FLAT, timestamp="yesterday"): "invalid_timestamp",
    dumps(FLAT, timestamp="2026-02-30T00:00:00Z"): "invalid_timestamp",
    dumps(FLAT, timestamp=-1): "invalid_timestamp",
    dumps(FLAT, timestamp=NOW + 700_000): "event_in_future",
    dumps(FLAT, user_id=" "): "empty_user_id",
    dumps(FLAT, country="x" * 129): "field_too_long",
    dumps(FLAT, url="javascript:alert(1)"): "invalid_url",
    dumps(FLAT, url="https://a.example/" + "x" * 8192): "url_too_long",
    dumps(FLAT, url="https://a.example:x/"): "invalid_url",
    dumps(FLAT).replace(b"Mumbai", b"M\xffmbai"): "invalid_utf8",
    b'{"skipped":"\xff",' + dumps(FLAT)[1:]: "invalid_utf8",
    dumps(FLAT).replace(b"Mumbai", b"Mum\x00bai"): "invalid_json",
    dumps(FLAT) + b"\x00": "invalid_json",
    b"\x00" * 1000: "invalid_json",
    dumps(FLAT, timestamp=7).replace(b": 7,", b": 1e999,"): "out_of_range",
    dumps(FLAT, timestamp=7).replace(b": 7,", b": -Infinity,"): "invalid_json",
    dumps(FLAT, user_id="\u00a0\u3000\t"): "empty_user_id",
    dumps(NESTED, geo_data=[]): "wrong_type",
    dumps(NESTED, click_data="x"): "wrong_type",
    b"[" + dumps(NESTED) + b"]": "wrong_type",
    json.dumps(json.dumps(NESTED)).encode(): "wrong_type",
    dumps(FLAT, city="x" * (1 << 20)): "record_too_large",
    b"x" * 10_000_000: "record_too_large",
    dumps({k: v for k, v in FLAT.items() if k != "url"}): "missing_field",
}


# What a row can do without: the field, and what it becomes.
MENDED = {
    dumps(FLAT, city=["Mumbai"]): {"city": None},
    dumps(FLAT, browser="x" * 513): {"browser": "x" * 512},
    dumps(FLAT, time_spent=-3.2): {"time_spent": None},
    dumps(FLAT, time_spent=1e12): {"time_spent": None},
    dumps(FLAT, session_end=""): {"session_end": None},
    dumps(FLAT, session_end="later"): {"session_end": None},
    dumps(FLAT, session_end="2026-11-01T09:59:59Z"): {"session_end": None},
    dumps(FLAT).replace(b"Mumbai", b"\\ud800"): {"city": "\ufffd"},
    b'{"skipped":"\\ud800",' + dumps(FLAT)[1:]: {},
    dumps(NESTED, user_agent_data="Firefox"): {"browser": None, "os": None, "device": None},
    dumps(NESTED, geo_data=None): {"country": "", "city": None},
    dumps(FLAT, country=None): {"country": ""},
    dumps(FLAT, country=" "): {"country": ""},
    b"\xef\xbb\xbf" + dumps(NESTED): {},
}


@pytest.mark.parametrize("value", MENDED, ids=lambda value: str(value[:40]))
def test_a_field_that_a_row_can_do_without_costs_no_click(value) -> None:
    kind, click = outcome(value)
    assert (kind, click) == ("click", outcome(dumps(FLAT))[1] | MENDED[value])
    assert read_click(value).country == click["country"]


def test_what_was_mended_is_counted() -> None:
    parsed = parse(*MENDED, dumps(FLAT))
    assert parsed.mended == {
        **{"city_unknown": 1, "browser_cut": 1, "time_spent_unknown": 2, "session_end_unknown": 3},
        **{"half_character": 2, "user_agent_data_unknown": 1},
    }


def test_a_country_may_be_required() -> None:
    required = ParseOptions(country_required=True)
    assert outcome(dumps(FLAT, country=None), required) == ("rejected", "empty_country")
    assert outcome(dumps(FLAT), required)[0] == "click"


@pytest.mark.parametrize("value", BROKEN, ids=lambda value: str(value[:40]))
def test_each_kind_of_broken_record_has_its_reason(value) -> None:
    assert outcome(value) == ("rejected", BROKEN[value])


def test_broken_records_keep_bytes_source_position_and_stamp() -> None:
    parsed = parse(dumps(NESTED), b"\x00\xff", b"", record_timestamps=[1, 2, -1])
    assert parsed.rejected.schema == REJECTED_SCHEMA
    rows = parsed.rejected.to_pylist()
    assert [(r["source"], r["position"], r["raw"]) for r in rows] == [("log", 1, b"\x00\xff"), ("log", 2, b"")]
    assert [r["record_timestamp"] and r["record_timestamp"].timestamp() for r in rows] == [0.002, None]


def test_details_name_fields_and_never_values() -> None:
    parsed = parse(
        dumps(FLAT, user_id=["s3cret"]), dumps(FLAT, url="s3cret"), dumps(FLAT, timestamp="s3cret"), b'{"s3cret'
    )
    assert "s3cret" not in str(parsed.rejected["detail"].to_pylist())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*FLAT, *NESTED, "x"]), inner, max_size=6)
    ),
    max_leaves=12,
)


def records() -> st.SearchStrategy[bytes]:
    """Anything: bytes, JSON trees, good records, and good records with a field or a byte exchanged."""
    times = st.sampled_from(
        [
            "2026-11-01T10:00:00Z",
            "2026-11-01 10:00:00.1234567",
            "2026-11-01T10:00:00+05:30",
            "2026-11-01T10",
            "2026-11-01",
            1793527200,
        ]
    )
    field = st.sampled_from(list(FLAT))
    changed = st.builds(lambda name, value: json.dumps(FLAT | {name: value}).encode(), field, JSON)
    timed = st.builds(
        lambda shape, t: dumps(shape, **{("click_data__" if shape is NESTED else "") + "timestamp": t}),
        st.sampled_from([NESTED, FLAT]),
        times,
    )
    spoilt = st.builds(
        lambda at, byte: dumps(NESTED)[:at] + bytes([byte]) + dumps(NESTED)[at + 1 :],
        st.integers(0, 250),
        st.integers(0, 255),
    )
    both = st.just(json.dumps(NESTED | FLAT).encode()) | st.just(json.dumps(FLAT | {"click_data": None}).encode())
    return st.binary(max_size=60) | JSON.map(lambda tree: json.dumps(tree).encode()) | changed | timed | spoilt | both


@given(st.lists(records(), max_size=12), st.integers(1, 5))
@settings(max_examples=400)
def test_outcomes_do_not_depend_on_neighbours(values, size) -> None:
    alone = [outcome(value) for value in values]
    together = []
    for start in range(0, len(values), size):
        batch = values[start : start + size]
        parsed = parse(*batch)
        rejected = {row["position"]: ("rejected", row["reason"]) for row in parsed.rejected.to_pylist()}
        clicks = iter(parsed.clicks.to_pylist())
        assert parsed.rejected.num_rows == len(rejected)
        together += [rejected.get(i) or ("click", next(clicks)) for i in range(len(batch))]
        assert next(clicks, None) is None
    assert together == alone


@given(records())
@settings(max_examples=600)
def test_accepts_what_the_oracle_accepts(value) -> None:
    expected, found = read_click(value, now_ms=NOW), outcome(value)
    if expected is None:
        assert found[0] == "rejected"
        return
    assert found[0] == "click", found
    click = found[1]
    assert (click["user_id"], click["url"], click["country"]) == (expected.user_id, expected.url, expected.country)
    assert round(click["timestamp"].timestamp() * 1000) == expected.millis


ODDITIES = {
    b'{"skipped":' + b"9" * 5000 + b"," + dumps(FLAT)[1:]: {},
    b'{"skipped":1e999,' + dumps(FLAT)[1:]: {},
    b'{"country":"Kenya",' + dumps(FLAT)[1:]: {},
    dumps(FLAT)[:-1] + b',"country":"Kenya"}': {"country": "Kenya"},
    b" \t\r\n" + dumps(FLAT) + b" \r": {},
    dumps(FLAT, city="M\0\n\x7f😀"): {"city": "M\0\n\x7f😀"},
    dumps(FLAT, country="\u2003India\n"): {},
    dumps(FLAT, row_key="x" * 512): {"row_key": "x" * 512},
    dumps(FLAT, city=None): {"city": None},
    dumps(FLAT, time_spent=None): {"time_spent": None},
    dumps(FLAT, time_spent=2): {"time_spent": 2.0},
    dumps(FLAT, click_data=None): {},
    dumps(FLAT, url="HTTPS://me@A.example:443/y/../x?utm_source=z#top"): {},
    dumps(NESTED, user_agent_data=None): {"browser": None, "os": None, "device": None},
    dumps(NESTED, user_id=17, extra=[{}]): {},
}


@pytest.mark.parametrize("value", ODDITIES, ids=lambda value: str(value[:40]))
def test_odd_but_sound_records_are_clicks(value) -> None:
    usual = outcome(dumps(FLAT))[1]
    assert outcome(value) == ("click", usual | ODDITIES[value])


def test_urls_are_left_alone_when_asked_but_still_checked() -> None:
    options = ParseOptions(normalise_urls=False)
    url = "HTTPS://A.example:443/y/../x?utm_source=z#top"
    assert outcome(dumps(FLAT, url=url), options)[1]["url"] == url
    assert outcome(dumps(FLAT, url="ftp://a.example/"), options) == ("rejected", "invalid_url")


def test_the_bounds_around_now_are_inclusive_and_can_be_off() -> None:
    assert outcome(dumps(FLAT, timestamp=NOW + 600_000))[0] == "click"
    assert outcome(dumps(FLAT, timestamp=NOW + 600_001)) == ("rejected", "event_in_future")
    options = ParseOptions(max_clock_skew_seconds=None)
    assert outcome(dumps(FLAT, timestamp="2199-12-31T23:59:59.999Z"), options)[0] == "click"
    assert outcome(dumps(FLAT, timestamp=0), options)[0] == "click"


def test_a_record_may_be_as_long_as_the_limit() -> None:
    value = dumps(FLAT)
    assert outcome(value, ParseOptions(max_record_bytes=len(value)))[0] == "click"
    assert outcome(value, ParseOptions(max_record_bytes=len(value) - 1)) == ("rejected", "record_too_large")


def test_a_batch_without_a_good_record_or_without_any_gives_empty_tables() -> None:
    for values in ([], [b"x"], [dumps(FLAT, timestamp="x")]):
        parsed = parse(*values)
        assert (parsed.clicks.num_rows, parsed.too_late.num_rows) == (0, 0)
        assert parsed.clicks.schema == parsed.too_late.schema == CLICK_SCHEMA
        assert parsed.rejected.num_rows == len(values)


def test_row_keys_are_derived_the_same_way_each_time() -> None:
    without = {k: v for k, v in FLAT.items() if k != "row_key"}
    keys = [outcome(dumps(r))[1]["row_key"] for r in (without, without | {"row_key": ""}, without | {"city": "Pune"})]
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert keys[0] == "b4f62ec8f8f161ea14560c4e215f62cf"  # in stores already: another release must derive the same
    for change in ({"user_id": "u2"}, {"timestamp": "2026-11-01T10:00:00.251Z"}, {"url": "https://a.example/y"}):
        assert outcome(dumps(without, **change))[1]["row_key"] != keys[0]
    assert outcome(dumps(without, url="https://A.example:443/x#y", user_id=" u1 "))[1]["row_key"] == keys[0]


def test_fewer_columns_give_the_same_outcomes() -> None:
    few = parse(*BROKEN, dumps(NESTED), options=ParseOptions(columns=METRIC_COLUMNS))
    assert few.clicks.column_names == list(METRIC_COLUMNS)
    assert (
        few.rejected["reason"].to_pylist()
        == parse(*BROKEN, dumps(NESTED)).rejected["reason"].to_pylist()
        == list(BROKEN.values())
    )


def test_old_events_are_rejected_when_asked() -> None:
    options = ParseOptions(max_event_age_seconds=3600)
    assert outcome(dumps(FLAT, timestamp=NOW - 3_600_000), options)[0] == "click"
    assert outcome(dumps(FLAT, timestamp=NOW - 3_600_001), options) == ("rejected", "event_too_old")


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ("url",)},
        {"columns": ("nope",)},
        {"window_seconds": 0},
        {"max_record_bytes": 0},
        {"max_event_age_seconds": -1},
        {"max_clock_skew_seconds": -0.5},
    ],
)
def test_wrong_options_are_refused(options) -> None:
    with pytest.raises(ValueError, match="ParseOptions"):
        ParseOptions(**options)
