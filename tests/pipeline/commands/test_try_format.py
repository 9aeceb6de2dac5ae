"""`try-format`: what a format makes of a sample, and one that is suggested for it."""

import json

import pytest

from clickstream.pipeline.__main__ import main
from clickstream.transforms.parse import parse_format

EVENTS = [
    {
        "type": "page" if number % 4 else "track",
        "userId": None if number % 3 == 0 else f"u{number}",
        "anonymousId": f"a{number}",
        "messageId": f"m{number}",
        "context": {"ts": 1_793_527_200_000_000 + number * 1_000_000, "os": {"name": "Linux"}},
        "page": {"path": f"/p{number % 3}"} if number != 5 else {},
        "geo": {"country": "India"},
        "more": [{"key": "a", "value": 1}],
    }
    for number in range(12)
]
FORMAT = """
fields:
  user_id: [userId, anonymousId]
  timestamp: {path: context.ts, unit: us}
  url: {path: page.path, base: "https://shop.example"}
  country: geo.country
only: {path: type, is: page}
"""


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in EVENTS) + "no event\n")
    return path


def told(capsys, *argv: str) -> str:
    assert main(["try-format", *argv]) == 0
    return capsys.readouterr().out


def test_clicks_refusals_and_what_is_not_used(sample, tmp_path, capsys) -> None:
    (tmp_path / "shop.yaml").write_text(FORMAT)
    text = told(capsys, f"--input={sample}", f"--event_format={tmp_path}/shop.yaml", "--show=1")
    assert text.startswith("read 13 = accepted 8 + rejected 2 + not clicks 3\n")
    assert "  url         https://shop.example/p1\n  country     India\n" in text
    assert "u2" not in text
    assert "       1  missing_field: page.path: missing (record 6)" in text
    assert "       1  invalid_json: JSON is malformed: " in text
    unused = text.partition("Not used by the format:\n")[2].split()
    assert set(unused) == {"messageId", "context.os.name", "more[key=a].key", "more[key=a].value"}


def test_a_suggestion_reads_the_sample_as_it_is(sample, tmp_path, capsys) -> None:
    text = told(capsys, f"--input={sample}", "--suggest")
    found = parse_format(text, "suggested")
    assert {name: found.named(name) for name, _ in found.fields} == {
        "user_id": "userId, anonymousId",
        "timestamp": "context.ts",
        "url": "page.path",
        "country": "geo.country",
        "os": "context.os.name",
        "row_key": "messageId",
    }
    assert [(condition.values, str(condition.sources[0])) for condition in found.only] == [(("page",), "type")]
    (tmp_path / "suggested.yaml").write_text(text)
    tried = told(capsys, f"--input={sample}", f"--event_format={tmp_path}/suggested.yaml")
    assert tried.startswith("read 13 = accepted 8 + rejected 2 + not clicks 3\n")


def test_what_is_not_found_is_left_to_be_filled_in(tmp_path, capsys) -> None:
    (tmp_path / "events").write_text('{"colour": "red", "at": "noon"}\n')
    text = told(capsys, f"--input={tmp_path}/events", "--suggest")
    for name in ("user_id", "timestamp", "url"):
        assert f"  {name}: PATH  # not found: write where it is\n" in text


def test_rows_of_a_table_are_tried_like_the_job_reads_them(tmp_path, capsys) -> None:
    lines = ["who;when;where", "u1;1793527200;https://a.example/", "u2;soon;https://a.example/"]
    (tmp_path / "clicks.csv").write_text("\n".join(lines))
    (tmp_path / "table.yaml").write_text("fields: {user_id: who, timestamp: when, url: where}\ntypes: lenient\n")
    text = told(capsys, f"--input={tmp_path}/clicks.csv", f"--event_format={tmp_path}/table.yaml")
    assert text.startswith("read 2 = accepted 1 + rejected 1 + not clicks 0\n")
    assert "2026-11-01T10:00:00" in text
    assert "invalid_timestamp" in text
