"""Formats of one's own: what a mapping says becomes of events, and what is said of a mapping that isn't sound."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse import FormatError, KnownShapes, Pseudonyms, parse_clicks, parse_format
from clickstream.transforms.parse.formats import read_events
from clickstream.transforms.parse.formats.paths import Path

NOW = 1_795_000_000_000
SHOP = """
fields:
  user_id: [userId, anonymousId]
  timestamp: {path: context.ts, unit: us}
  url: {path: page.path, base: "https://shop.example/"}
  country: {path: geo.code}
  time_spent: {path: "event_params[key=engagement_time_msec].value.int_value", unit: ms}
only: {path: type, is: page}
types: lenient
"""
EVENT = {
    "type": "page",
    "userId": "u1",
    "context": {"ts": 1793527200123456},
    "page": {"path": "/x"},
    "geo": {"code": "IN"},
    "event_params": [{"key": "n", "value": {}}, {"key": "engagement_time_msec", "value": {"int_value": 1500}}],
}


def parse(*events, text: str = SHOP, **options):
    values = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    given_options = ParseOptions(event_format=parse_format(text, "shop.yaml"), **options)
    pseudonyms = Pseudonyms(options["user_key"]()) if "user_key" in options else None
    batch = RawBatch(values, "log", range(len(values)))
    return parse_clicks(batch, given_options, now_ms=NOW, pseudonyms=pseudonyms)


def reason(event, text: str = SHOP) -> tuple[str, str]:
    parsed = parse(event, text=text)
    assert (parsed.clicks.num_rows, parsed.not_clicks, parsed.rejected.num_rows) == (0, 0, 1)
    return parsed.rejected["reason"][0].as_py(), parsed.rejected["detail"][0].as_py()


def test_an_event_becomes_a_click() -> None:
    (click,) = parse(EVENT).clicks.to_pylist()
    assert (click["user_id"], click["url"], click["country"], click["time_spent"]) == (
        "u1",
        "https://shop.example/x",
        "IN",
        1.5,
    )
    assert click["timestamp"].isoformat() == "2026-11-01T10:00:00.123000+00:00"


def test_what_is_no_click_is_counted_and_not_kept() -> None:
    parsed = parse(EVENT, EVENT | {"type": "track"}, {"type": None}, {}, b"{")
    assert (parsed.clicks.num_rows, parsed.not_clicks) == (1, 3)
    assert parsed.rejected["position"].to_pylist() == [4]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"page": {}}, ("missing_field", "page.path: missing")),
        ({"page": {"path": None}}, ("missing_field", "page.path: missing")),
        ({"userId": ""}, ("missing_field", "userId, anonymousId: missing")),
        ({"userId": ["u"]}, ("wrong_type", "userId, anonymousId: an object or an array where a text belongs")),
        ({"page": {"path": 7}}, ("wrong_type", "page.path: a number where a text belongs")),
        ({"context": {"ts": True}}, ("wrong_type", "context.ts: a boolean where a time belongs")),
        (
            {"page": {"path": "javascript:alert(1)"}},
            ("invalid_url", "url is no http or https URL with a host (from page.path)"),
        ),
        ({"userId": "u" * 513}, ("field_too_long", "user_id is longer than 512 characters (from userId, anonymousId)")),
    ],
)
def test_refusals_name_the_field_in_the_users_terms(change, expected) -> None:
    assert reason(EVENT | change) == expected


def test_a_time_that_is_none_is_told_with_its_path() -> None:
    found, detail = reason(EVENT | {"context": {"ts": "soon"}})
    assert (found, detail.endswith("(from context.ts)"), "soon" in detail) == ("invalid_timestamp", True, False)


@pytest.mark.parametrize(
    ("value", "user"),
    [(17, "17"), (1.50, "1.5"), (10**30, str(10**30)), (True, "true"), (" x ", "x"), ("Perú", "Perú")],
)
def test_lenient_types_become_text(value, user) -> None:
    assert parse(EVENT | {"userId": value}).clicks["user_id"].to_pylist() == [user]
    strict = parse(EVENT | {"userId": value}, text=SHOP.replace("lenient", "strict"))
    assert strict.rejected.num_rows == (not isinstance(value, str))


TIMES = {
    ("{path: t, unit: s}", 1793527200): "2026-11-01T10:00:00+00:00",
    ("{path: t, unit: s}", 1793527200.123): "2026-11-01T10:00:00.123000+00:00",
    ("{path: t, unit: ms}", 5): "1970-01-01T00:00:00.005000+00:00",
    ("{path: t, unit: us}", "1793527200123999"): "2026-11-01T10:00:00.123000+00:00",
    ("{path: t, unit: ns}", 1793527200123000000): "2026-11-01T10:00:00.123000+00:00",
    ("t", 1793527200): "2026-11-01T10:00:00+00:00",
    ("t", 1793527200123): "2026-11-01T10:00:00.123000+00:00",
    ("t", "2026-11-01 10:00"): "2026-11-01T10:00:00+00:00",
    ("{path: t, zone: Europe/Berlin}", "2026-11-01T11:00:00"): "2026-11-01T10:00:00+00:00",
    ("{path: t, zone: Europe/Berlin}", "2026-11-01T11:00:00Z"): "2026-11-01T11:00:00+00:00",
    ("{path: t, zone: Asia/Kolkata, format: '%d.%m.%Y %H:%M'}", "01.11.2026 15:30"): "2026-11-01T10:00:00+00:00",
    ("{path: t, format: '%d/%b/%Y:%H:%M:%S %z'}", "01/Nov/2026:15:30:00 +0530"): "2026-11-01T10:00:00+00:00",
    ("{path: t, format: '%Y-%m-%d'}", "2026-11-01"): "2026-11-01T00:00:00+00:00",
    ("{path: t, format: '%Y-%m-%d %H:%M:%S.%f'}", "2026-11-01 10:00:00.123456789"): "2026-11-01T10:00:00.123000+00:00",
    ("['x.y', {path: t, unit: s}]", 1793527200): "2026-11-01T10:00:00+00:00",
}


@pytest.mark.parametrize(("written", "value"), TIMES)
def test_times(written, value) -> None:
    text = f"fields: {{user_id: u, url: l, country: c, timestamp: {written}}}"
    parsed = parse({"u": "u", "l": "https://a.example/", "c": "C", "t": value}, text=text)
    assert [time.isoformat() for time in parsed.clicks["timestamp"].to_pylist()] == [TIMES[written, value]]


@pytest.mark.parametrize(
    "value", ["x", "", "01/Foo/2026:00:00:00 +0000", "31/Feb/2026:00:00:00 +0000", "99/Nov/2026:00:00:00 +0000"]
)
def test_what_is_no_time_of_a_form_is_refused(value) -> None:
    text = "fields: {user_id: u, url: l, timestamp: {path: t, format: '%d/%b/%Y:%H:%M:%S %z'}}"
    assert reason({"u": "u", "l": "https://a.example/", "t": value}, text)[0] in ("invalid_timestamp", "missing_field")


def test_a_url_is_put_together_of_parts_that_are_there() -> None:
    text = 'fields: {user_id: u, timestamp: t, country: c, url: ["https://{h}{p}?{q}", "https://{h}{p}", raw]}'
    rest = {"u": "u", "t": 1793527200, "c": "C"}
    events = [
        {"h": "a.example", "p": "/x", "q": "y=1"},
        {"h": "a.example", "p": "/x", "q": ""},
        {"raw": "https://b.example/"},
    ]
    urls = parse(*(event | rest for event in events), text=text).clicks["url"].to_pylist()
    assert urls == ["https://a.example/x?y=1", "https://a.example/x", "https://b.example/"]


def test_a_part_of_a_text() -> None:
    text = "fields: {user_id: u, timestamp: t, country: c, url: {path: r, part: '^GET (?P<x>[^ ]+)', base: 'https://a.example'}}"
    rest = {"u": "u", "t": 1793527200, "c": "C"}
    parsed = parse({"r": "GET /x HTTP/1.1"} | rest, {"r": "POST /x"} | rest, text=text)
    assert (parsed.clicks["url"].to_pylist(), parsed.rejected["detail"].to_pylist()) == (
        ["https://a.example/x"],
        ["r: missing"],
    )


def test_optional_fields_never_refuse_a_click() -> None:
    changed = {"event_params": [{"key": "engagement_time_msec", "value": {"int_value": -5}}]}
    assert parse(EVENT | changed).clicks["time_spent"].to_pylist() == [None]
    text = SHOP + "  \n".replace("  ", "")
    with_city = text.replace("  country:", "  city: city\n  session_end: end\n  country:")
    (click,) = parse(EVENT | {"city": {"name": "x"}, "end": "never"}, text=with_city).clicks.to_pylist()
    assert (click["city"], click["session_end"]) == (None, None)


def test_no_id_is_left_where_ids_are_hidden() -> None:
    parsed = parse(EVENT | {"page": {}}, EVENT, user_key=lambda: "k" * 32)
    assert parsed.clicks["user_id"].to_pylist()[0].startswith("p1_")
    assert b"u1" not in parsed.rejected["raw"].to_pylist()[0]


def test_a_format_travels_to_workers() -> None:
    found = parse_format(SHOP, "shop.yaml")
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


UNSOUND = {
    "x: 1": "shop.yaml, line 1, x: there is no such key; the keys are fields, only, types, record",
    "fields:\n  user_id: a\n  url: b": "shop.yaml, line 2, fields: timestamp is missing",
    "fields:\n  user_id: a\n  url: b\n  timestamp: {path: c, unit: min}": "shop.yaml, line 4, fields.timestamp.unit: 'min' is none of s, ms, us, ns",
    "fields:\n  user_id: a..b\n  url: b\n  timestamp: c": "shop.yaml, line 2, fields.user_id: 'a..b' is no path: a name is missing",
    "fields:\n  user_id: a\n  url: {path: b, base: shop}\n  timestamp: c": "shop.yaml, line 3, fields.url.base: 'shop' is no base of URLs",
    "fields:\n  user_id: a\n  url: b\n  timestamp: {path: c, format: '%Q'}": "shop.yaml, line 4, fields.timestamp.format: %Q isn't known",
    "fields:\n  user_id: a\n  url: b\n  timestamp: {path: c, zone: Mars/X}": "shop.yaml, line 4, fields.timestamp.zone: 'Mars/X' is no time zone",
    "fields:\n  user_id: a\n  user_id: b\n  url: b\n  timestamp: c": "shop.yaml, line 2, fields.user_id: it's given twice",
    "fields:\n  user_id: a\n  url: b\n  timestamp: c\nonly: {path: t}": "shop.yaml, line 5, only: one of is, is_not, matches, matches_not",
    "fields:\n  user_id: a\n  url: b\n  timestamp: c\nonly: {path: t, matches: '('}": "shop.yaml, line 5, only.matches: it's no regular expression",
    "fields:\n  user_id: a\n  url: b\n  timestamp: c\ntypes: odd": "shop.yaml, line 5, types: 'odd' is none of lenient, strict",
    "fields: {user_id: a, url: b, timestamp: c}\nrecord: {separator: tab, names: [a, b]}": "shop.yaml, line 1, fields.timestamp: c is none of",
    "fields: [": "shop.yaml, line 1: ",
    "- a": "shop.yaml: a format begins with keys",
    "": "shop.yaml: a format begins with keys",
}


@pytest.mark.parametrize("text", UNSOUND)
def test_what_is_wrong_is_told_with_line_and_key(text) -> None:
    with pytest.raises(FormatError) as raised:
        parse_format(text, "shop.yaml")
    assert str(raised.value).startswith(UNSOUND[text])


@pytest.mark.parametrize(
    "text", ["a", "a.b", "items[0].x", "items[-1]", "p[key=page view].value", '["a.b"].c', "$x.y-z", "a['b']"]
)
def test_a_path_is_written_as_it_is_read(text) -> None:
    path = Path.parse(text)
    assert Path.parse(str(path)) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a[", "a[]", "a[x]", "a]b", "a[0]b", 'a"b'])
def test_what_is_no_path(text) -> None:
    with pytest.raises(ValueError, match="is no path"):
        Path.parse(text)


names = st.sampled_from(["a", "b", "c", "key"])
written = st.sampled_from(["a", "b.c", "a[0]", "b[key=x].c", "c", "key"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x", "https://a.example/", "2026-11-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mappings(draw: st.DrawFn) -> str:
    time = draw(
        st.sampled_from(
            ["%s", "{path: '%s', unit: s}", "{path: '%s', unit: ns}", "{path: '%s', format: '%%Y-%%m-%%d'}"]
        )
    )
    lines = [
        f"  user_id: ['{draw(written)}', '{draw(written)}']",
        f"  timestamp: {time % draw(written)}",
        f"  url: {{path: '{draw(written)}', base: 'https://a.example'}}",
        f"  city: 'x{{{draw(written)}}}'",
        f"  time_spent: {{path: '{draw(written)}', unit: ms}}",
    ]
    only = draw(st.sampled_from(["", "only: {path: '%s', is: x}", "only: {path: '%s', matches_not: '^x'}"]))
    return "\n".join(
        ["fields:", *lines, only.replace("%s", draw(written)), f"types: {draw(st.sampled_from(['lenient', 'strict']))}"]
    )


@given(mappings(), st.lists(json_values | st.binary(max_size=20), max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_mapping_over_any_json_ends_each_record_once(text, events) -> None:
    values = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    fields = ["user_id", "timestamp", "url", "country", "city", "session_end", "time_spent", "row_key"]
    found = read_events(values, fields, parse_format(text, "any.yaml"), KnownShapes())
    ended = [*found.decoded.kept.tolist(), *(each.number for each in found.decoded.refused)]
    assert len(set(ended)) == len(ended)
    assert len(ended) + found.not_clicks == len(values)
    parsed = parse(*values, text=text)
    assert parsed.clicks.num_rows + parsed.rejected.num_rows + parsed.not_clicks == len(values)
    assert "internal_error" not in parsed.rejected["reason"].to_pylist()
