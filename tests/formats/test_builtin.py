"""Each built-in format over a sample made by its public documentation: what a plain oracle makes of each line, in both ways of reading."""

import json
from pathlib import Path

import pytest
from oracles import ORACLES, REFUSED

from clickstream.transforms.parse import KnownShapes, builtin_formats, event_format
from clickstream.transforms.parse.formats import read_events
from clickstream.transforms.parse.reader import same_shape

SAMPLES = Path(__file__).parent / "samples"
BASE = "https://shop.example"
FIELDS = [
    "user_id",
    "timestamp",
    "url",
    "country",
    "city",
    "browser",
    "os",
    "device",
    "referrer",
    "session_end",
    "time_spent",
    "row_key",
]


def sample(name: str) -> list[str]:
    return (SAMPLES / f"{name}.txt").read_text("utf-8").splitlines()


def read(name: str, lines: list[str]):
    return read_events([line.encode() for line in lines], FIELDS, event_format(name, base=BASE), KnownShapes())


def test_every_format_has_a_sample_and_an_oracle() -> None:
    assert {name for name in ORACLES if "+" not in name} | {"clickstream"} == set(builtin_formats())


@pytest.mark.parametrize("repeated", [1, 50], ids=["singly", "of the same shape"])
@pytest.mark.parametrize("name", ORACLES)
def test_a_format_is_what_its_oracle_says(name, repeated, monkeypatch) -> None:
    monkeypatch.setattr(same_shape, "FEWEST", 2)
    lines = [line for line in sample(name) for _ in range(repeated)]
    expected = [ORACLES[name](line) for line in lines]
    assert {type(outcome) for outcome in expected} >= {tuple, type(None)}, "the sample shows clicks and others"
    found = read(name, lines)
    fields = {field: column.to_pylist() for field, column in found.decoded.fields.items()}
    millis = [round(time.timestamp() * 1000) for time in fields["timestamp"]]
    clicks = list(zip(fields["user_id"], millis, fields["url"], fields["country"], strict=True))
    assert dict(zip(found.decoded.kept.tolist(), clicks, strict=True)) == {
        number: outcome for number, outcome in enumerate(expected) if isinstance(outcome, tuple)
    }
    assert sorted(each.number for each in found.decoded.refused) == [n for n, o in enumerate(expected) if o == REFUSED]
    assert found.not_clicks == expected.count(None)


def test_optional_fields_come_along() -> None:
    fields = {name: column.to_pylist()[0] for name, column in read("ga4", sample("ga4")).decoded.fields.items()}
    assert (fields["city"], fields["browser"], fields["os"], fields["device"]) == (
        "Delhi",
        "Chrome",
        "Android",
        "mobile",
    )
    assert (fields["time_spent"], fields["session_end"], fields["row_key"]) == (5.321, None, None)


def test_a_header_holds_for_the_lines_behind_it() -> None:
    lines = [
        "#Fields: time date c-ip cs-method cs-host cs-uri-stem sc-status",
        "10:00:00 2026-11-01 192.0.2.1 GET a.example /x 200",
    ]
    fields = read("w3c", [*sample("w3c"), *lines]).decoded.fields
    assert fields["url"].to_pylist()[-1] == "https://a.example/x"
    assert fields["timestamp"].to_pylist()[-1].isoformat() == "2026-11-01T10:00:00+00:00"
    assert read("w3c", sample("w3c")[4:5]).decoded.fields["url"].to_pylist() == [f"{BASE}/gloves"], (
        "by IIS's own fields"
    )


REFERRER = "https://news.example/today?a=1"
REFERRED = {
    "ga4": {"event_params": [{"key": "page_referrer", "value": {"string_value": REFERRER}}]},
    "ksqldb": {"referrer": REFERRER},
    "matomo": {"referrerUrl": REFERRER},
    "nginx_json": {"http_referer": REFERRER},
    "plausible": {"referrer": REFERRER.removeprefix("https://")},
    "posthog": {"properties": {"$referrer": REFERRER}},
    "segment": {"context": {"page": {"referrer": REFERRER}}},
    "snowplow": {"page_referrer": REFERRER},
    "umami": {"referrer_domain": "news.example"},
}
IN_LINES = {  # where in the sample's line it stands
    "cloudfront": lambda line: line.replace("\t-\tMozilla", f"\t{REFERRER}\tMozilla"),
    "combined": lambda line: line.replace("https://shop.example/", REFERRER),
    "snowplow_tsv": lambda line: "\t".join([*line.split("\t")[:31], REFERRER, *line.split("\t")[32:]]),
    "w3c": lambda line: (
        line if line.startswith("#") else " ".join([*line.split(" ")[:10], REFERRER, *line.split(" ")[11:]])
    ),
}


def merged(event: dict, added: dict) -> dict:
    """With what is added at any depth."""
    both = {
        name: merged(event[name], part) for name, part in added.items() if isinstance(part, dict) and event.get(name)
    }
    lists = {name: [*event[name], *part] for name, part in added.items() if isinstance(part, list)}
    return event | added | both | lists


@pytest.mark.parametrize("name", [*REFERRED, *IN_LINES])
def test_the_page_that_led_to_a_click_comes_along(name) -> None:
    if name in REFERRED:
        lines = [json.dumps(merged(json.loads(line), REFERRED[name])) for line in sample(name) if line.startswith("{")]
    else:
        lines = list(map(IN_LINES[name], sample(name)))
    found = read(name, lines).decoded.fields["referrer"].to_pylist()
    assert found
    assert {(text or "").partition("?")[0].rstrip("/") for text in found[:1]} <= {
        "https://news.example/today",
        "https://news.example",
    }


def test_what_is_not_asked_for_is_not_looked_for() -> None:
    whole = event_format("segment")
    asked = whole.of_fields(["user_id", "timestamp", "url", "country"])
    assert not any("device" in str(path) or "referrer" in str(path) for path in asked.paths())
    assert set(asked.paths()) < set(whole.paths())
