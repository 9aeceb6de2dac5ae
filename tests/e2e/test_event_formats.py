"""Events of other shapes from a file to rows, by the batch job."""

import json
import sqlite3
from pathlib import Path

import pytest
from oracles import ORACLES

from clickstream.pipeline.__main__ import main

SAMPLES = Path(__file__).parents[1] / "formats/samples"
OWN = """
fields:
  user_id: who
  timestamp: {path: at, unit: s}
  url: {path: where, base: "https://shop.example"}
  country: from
only: {path: what, is: view}
"""


def run(log: Path, output: Path, event_format: str, capsys: pytest.CaptureFixture[str]) -> str:
    options = [f"--input={log}", f"--output_dir={output}", f"--event_format={event_format}", "--raw_store=none"]
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
