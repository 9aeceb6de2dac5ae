"""Events of other shapes from a file to rows, by the batch job."""

import json
import sqlite3
from pathlib import Path

import pytest
from oracles import ORACLES

from clickstream.io.errors import UserError
from clickstream.io.logs import match_logs, read_logs
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.batch_job import _by_headers as by_headers
from clickstream.transforms import ParseOptions
from clickstream.transforms.parse import event_format, parse_clicks

SAMPLES = Path(__file__).parents[1] / "formats/samples"
OWN = """
fields:
  user_id: who
  timestamp: {path: at, unit: s}
  url: {path: where, base: "https://shop.example"}
  country: from
only: {path: what, is: view}
"""


def run(log: Path, output: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    options = [f"--input={log}", f"--output_dir={output}", f"--event_format={name}", "--raw_store=none"]
    assert main(options) == 0
    return capsys.readouterr().out


def rows(output: Path) -> list[tuple]:
    with sqlite3.connect(output / "clickstream.db") as database:
        found = database.execute(
            "SELECT url, country, SUM(clicks), SUM(unique_users) FROM page_metrics GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return found.fetchall()


def test_segment_from_a_file_to_rows(tmp_path, capsys) -> None:
    said = run(SAMPLES / "segment.txt", tmp_path, "segment", capsys)
    lines = (SAMPLES / "segment.txt").read_text().splitlines()
    outcomes = [ORACLES["segment"](line) for line in lines]
    clicks = [outcome for outcome in outcomes if isinstance(outcome, tuple) and outcome[3]]
    assert sum(clicks_ for _, _, clicks_, _ in rows(tmp_path)) >= len(clicks) > 0
    assert f"not clicks {outcomes.count(None)}" in said


def test_a_file_of_ones_own_and_a_second_attempt(tmp_path, capsys) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    events = [
        {"what": "view", "who": f"u{n % 3}", "at": 1793527200 + n, "where": f"/p{n % 2}", "from": "IN"}
        for n in range(40)
    ]
    events += [{"what": "scroll"}, {"what": "view", "who": "u"}]
    (tmp_path / "log.ndjson").write_text("\n".join(map(json.dumps, events)))
    said = run(tmp_path / "log.ndjson", tmp_path / "out", str(tmp_path / "own.yaml"), capsys)
    assert "read 42 = accepted 40 + rejected 1 + too late 0 + not clicks 1" in said
    assert rows(tmp_path / "out") == [
        ("https://shop.example/p0", "IN", 20, 3),
        ("https://shop.example/p1", "IN", 20, 3),
    ]
    assert main([f"--input={tmp_path / 'log.ndjson'}", f"--output_dir={tmp_path / 'out'}"]) == 2
    assert "--event_format=" in capsys.readouterr().err


FIELDS = "#Fields: time date c-ip cs-method cs-host cs-uri-stem sc-status"


def w3c_log(path: Path, lines: int, header: str = FIELDS) -> Path:
    row = "{:02}:{:02}:{:02} 2026-11-01 192.0.2.{} GET shop.example /a/rather/long/path/of/a/page/p{} 200"
    rows_ = (row.format(n // 3600 % 24, n // 60 % 60, n % 60, n % 50, n % 2) for n in range(lines))
    path.write_text("\n".join(["#Software: a server", header, *rows_]) + "\n")
    return path


def test_names_at_a_logs_head_hold_for_batches_that_dont_see_it(tmp_path) -> None:
    """Without a country: told by the parse alone, whatever becomes of such clicks."""
    log = w3c_log(tmp_path / "a.log", 45_000)
    batches = list(read_logs(match_logs(str(log)), 1 << 20))
    assert len(batches) > 2
    options = by_headers(ParseOptions(event_format=event_format("w3c")), match_logs(str(log)))
    found = [parse_clicks(batch, options, now_ms=1_795_000_000_000) for batch in batches]
    assert {r for each in found for r in each.rejected["reason"].to_pylist()} <= {"empty_country"}
    assert sum(each.not_clicks for each in found) == 2
    assert sum(each.clicks.num_rows + each.rejected.num_rows for each in found) == 45_000


def test_logs_of_different_names_are_refused(tmp_path) -> None:
    w3c_log(tmp_path / "a.log", 3)
    w3c_log(tmp_path / "b.log", 3, FIELDS.replace("time date", "date time"))
    with pytest.raises(UserError, match="different #Fields: lines"):
        by_headers(ParseOptions(event_format=event_format("w3c")), match_logs(str(tmp_path / "*.log")))
