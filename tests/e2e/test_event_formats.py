"""Events of other shapes from a file to rows, by the batch job."""

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from oracles import ORACLES, REFUSED

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


def run(log: Path, output: Path, name: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    options = [f"--input={log}", f"--output_dir={output}", f"--event_format={name}", "--raw_store=none", *more]
    assert main(options) == 0
    return capsys.readouterr().out


def rows(output: Path) -> list[tuple]:
    with sqlite3.connect(output / "clickstream.db") as database:
        found = database.execute(
            "SELECT url, country, SUM(clicks), SUM(unique_users) FROM page_metrics GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return found.fetchall()


@pytest.mark.parametrize("name", ORACLES)
def test_each_built_in_format_from_a_file_to_rows(tmp_path, capsys, name) -> None:
    lines = (SAMPLES / f"{name}.txt").read_text("utf-8").splitlines()
    options = ("--time_spent=fixed:1", "--url_normalisation=off", "--max_rejected_share=off")
    said = run(SAMPLES / f"{name}.txt", tmp_path, f"{name},base=https://shop.example", capsys, *options)
    outcomes = [ORACLES[name](line) for line in lines]
    clicks = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    users: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for user, millis, url, country in clicks:
        users.setdefault((url, country), set()).add((user, millis // 300_000))
    counts = Counter((url, country) for _, _, url, country in clicks)
    assert rows(tmp_path) == sorted((*key, counts[key], len(users[key])) for key in counts)
    told = f"accepted {len(clicks)} + rejected {outcomes.count(REFUSED)} + too late 0"
    others = outcomes.count(None)
    assert (f"{told} + not clicks {others}" if others else told) in said


def test_dead_letters_are_replayed_by_another_format_than_refused_them(tmp_path, capsys) -> None:
    (tmp_path / "wrong.yaml").write_text(OWN.replace("where", "elsewhere"))
    (tmp_path / "right.yaml").write_text(OWN)
    events = [{"what": "view", "who": f"u{n}", "at": 1793527200 + n, "where": "/p", "from": "IN"} for n in range(9)]
    (tmp_path / "log.ndjson").write_text("\n".join(map(json.dumps, events)))
    out, right = tmp_path / "out", f"--event_format={tmp_path / 'right.yaml'}"
    wrong = (f"--input={tmp_path / 'log.ndjson'}", f"--event_format={tmp_path / 'wrong.yaml'}")
    assert main([*wrong, f"--output_dir={out}"]) == 0
    assert "accepted 0 + rejected 9" in capsys.readouterr().out
    assert main(["replay-dead-letters", f"--output_dir={out}", right]) == 0
    assert "Dead letters now accepted and counted: 9" in capsys.readouterr().out
    assert rows(out) == [("https://shop.example/p", "IN", 9, 9)]


def test_without_kept_clicks_another_format_is_refused_before_a_letter_is_gone(tmp_path, capsys) -> None:
    (tmp_path / "wrong.yaml").write_text(OWN.replace("where", "elsewhere"))
    (tmp_path / "right.yaml").write_text(OWN)
    (tmp_path / "log.ndjson").write_text('{"what": "view", "who": "u", "at": 1793527200, "where": "/p"}')
    run(tmp_path / "log.ndjson", tmp_path / "out", str(tmp_path / "wrong.yaml"), capsys)
    right = f"--event_format={tmp_path / 'right.yaml'}"
    assert main(["replay-dead-letters", f"--output_dir={tmp_path / 'out'}", right]) == 2
    assert "can't be read by another --event_format than the log was" in capsys.readouterr().err
    with sqlite3.connect(tmp_path / "out/clickstream.db") as database:
        assert database.execute("SELECT COUNT(*) FROM dead_letters").fetchall() == [(1,)]


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
