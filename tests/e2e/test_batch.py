"""The embedded job as a user runs it: a process over log files, and everything that it leaves behind."""

import gzip
import json
import os
import random
import sqlite3
import subprocess
import sys
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest
from bulk_bodies import document_id
from e2e.live_harness import FEW
from local_time import local_period
from oracle import Row, expected_rows, read_click, read_time

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main


def run(*arguments: str, cwd: Path, command: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "clickstream.pipeline", *([command] if command else []), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def records(**options) -> list[bytes]:
    return [
        r for batch in sample_records(SampleOptions(events=20_000, broken_share=0.05, **FEW, **options)) for r in batch
    ]


@pytest.fixture(scope="module")
def mixed() -> list[bytes]:
    """Nested and flat records, 5 % broken, in any order."""
    found = records(seed=1) + records(seed=2, flat=True)
    random.Random(5).shuffle(found)
    return found


COLUMNS = """
    SELECT window_start, url, country, avg_time_spent, window_end, clicks, unique_users, time_spent_seconds,
        timed_clicks, version, sessions, bounces
    FROM page_metrics"""


def stored_rows(database: Path, rollup: str = "") -> dict:
    with sqlite3.connect(database) as connection:
        rows = {}
        for start, url, country, mean, end, clicks, users, seconds, *others in connection.execute(COLUMNS + rollup):
            row = Row(read_time(end), clicks, users, round(seconds * 1000), *others)
            assert mean == (seconds / row.timed_clicks if row.timed_clicks else None)
            rows[read_time(start), url, country] = row
    return rows


def document_rows(bulk_file: Path) -> dict:
    lines = [json.loads(line) for line in bulk_file.read_bytes().splitlines()]
    rows = {}
    for action, document in zip(lines[::2], lines[1::2], strict=True):
        index, start = action["index"], read_time(document["window_start"])
        assert document["@timestamp"] == document["window_start"]
        assert (index["version"], index["version_type"]) == (document["version"], "external_gte")
        rows[start, document["url"], document["country"]] = Row(
            read_time(document["window_end"]),
            document["clicks"],
            document["unique_users"],
            round(document["time_spent_seconds"] * 1000),
            document["timed_clicks"],
            document["version"],
            document["sessions"],
            document["bounces"],
        )
    assert len({action["index"]["_id"] for action in lines[::2]}) == len(rows)
    return rows


def dump(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        (("--window_seconds=300",), {"session_gap_seconds": 1800}),
        (("--window_seconds=300", "--time_spent=reported"), {}),
        (("--window_seconds=3600", "--time_spent=fixed:300", "--shards=3"), {"fixed_seconds": 300.0}),
        (
            (
                "--window_seconds=900",
                "--session_gap=5m",
                "--direct_num_workers=2",
                "--direct_running_mode=multi_processing",
            ),
            {"session_gap_seconds": 300},
        ),
    ],
    ids=["dwell", "reported", "fixed", "two processes"],
)
def test_results_equal_the_oracle_row_for_row(tmp_path, mixed, options, policy) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(mixed[:25_000]) + b"\n")
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(b"\n".join(mixed[25_000:])))
    done = run("--input=*.ndjson*", "--output_dir=out", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    clicks = [click for click in map(read_click, mixed) if click and click.millis < 4_000_000_000_000]
    window = int(options[0].partition("=")[2])
    expected = expected_rows(clicks, window_seconds=window, **policy)
    assert stored_rows(tmp_path / "out/clickstream.db") == expected
    assert document_rows(tmp_path / "out/elasticsearch.ndjson") == expected
    assert (
        f"read {len(mixed):,} = accepted {len(clicks):,} + rejected {len(mixed) - len(clicks):,} + too late 0"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Asia/Kolkata", datetime(2026, 10, 31, 6, tzinfo=timezone.utc)),
        ("Europe/Berlin", datetime(2026, 3, 28, 6, tzinfo=timezone.utc)),  # the next day has 23 hours
        ("Europe/Berlin", datetime(2026, 10, 24, 6, tzinfo=timezone.utc)),  # 25
    ],
)
def test_hours_and_days_are_those_of_the_sites_clock(tmp_path, zone, start) -> None:
    """Beside windows that stay as they are; and a replay restates them all."""
    lines = records(seed=4, start=start, duration_seconds=50 * 3600)
    (tmp_path / "clicks.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    options = ("--rollups=1d,1h", f"--time_zone={zone}", "--window_seconds=1800")
    done = run("--input=clicks.ndjson", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_hours_and_days(tmp_path / "out", lines, zone, until=4_000_000_000_000)
    done = run("--max_clock_skew=off", cwd=tmp_path, command="replay-dead-letters")
    assert done.returncode == 0, done.stderr
    assert_hours_and_days(tmp_path / "out", lines, zone, until=10**15)


def assert_hours_and_days(folder: Path, lines: list[bytes], zone: str, until: int) -> None:
    clicks = [click for click in map(partial(read_click, skew_ms=10**15), lines) if click and click.millis < until]
    options = {"window_seconds": 1800, "session_gap_seconds": 1800}
    for rollup in ("", "_1h", "_1d"):
        period_of = partial(local_period, name=rollup[1:], zone=zone) if rollup else None
        expected = expected_rows(clicks, period_of=period_of, **options)
        assert stored_rows(folder / "clickstream.db", rollup) == expected
        assert document_rows(folder / f"elasticsearch{rollup}.ndjson") == expected


def test_each_broken_record_is_a_dead_letter_once_and_a_second_run_changes_nothing(tmp_path, mixed) -> None:
    lines = mixed[:10_000]
    log = tmp_path / "clicks.ndjson"
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert run(f"--input={log}", cwd=tmp_path).returncode == 0
    database = tmp_path / "out/clickstream.db"
    first = dump(database)
    with sqlite3.connect(database) as connection:
        letters = connection.execute(
            "SELECT position, raw, reason FROM dead_letters WHERE source = ? ORDER BY position", (str(log),)
        ).fetchall()
    positions = dict(zip(_starts(lines), lines, strict=True))
    bad = {at: line for at, line in positions.items() if not ((c := read_click(line)) and c.millis < 4_000_000_000_000)}
    assert {at: raw for at, raw, _ in letters} == bad
    assert len(letters) == len(bad)
    assert all(reason for _, _, reason in letters)
    assert run(f"--input={log}", cwd=tmp_path).returncode == 0
    assert dump(database) == first


def _starts(lines: list[bytes]) -> list[int]:
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    return starts


def test_the_sample_run_leaves_a_report_and_says_where(tmp_path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for name in ("clickstream.db", "elasticsearch.ndjson", "report.html"):
        assert str(Path("out", name)) in done.stdout
        assert (tmp_path / "out" / name).stat().st_size > 10_000
    assert "https://www.example.com/" in done.stdout
    again = run("--window_seconds=60", cwd=tmp_path)
    assert again.returncode == 2
    assert "holds results of --window_seconds=300, not 60: name another --output_dir" in again.stderr


def test_dead_letters_are_replayed_and_counted(tmp_path) -> None:
    """What was refused for its clock is accepted without that bound, and then no dead letter any more."""
    good = records(seed=3)[:2_000]
    (tmp_path / "clicks.ndjson").write_bytes(b"\n".join(good))
    assert run("--input=clicks.ndjson", cwd=tmp_path).returncode == 0
    database = tmp_path / "out/clickstream.db"
    before, future = stored_rows(database), _reasons(database)["event_in_future"]
    nothing = run(cwd=tmp_path, command="replay-dead-letters")
    assert (nothing.returncode, stored_rows(database) == before) == (0, True), nothing.stderr
    done = run("--max_clock_skew=off", cwd=tmp_path, command="replay-dead-letters")
    assert done.returncode == 0, done.stderr
    assert f"Dead letters now accepted and counted: {future}\n" in done.stdout
    assert "event_in_future" not in _reasons(database)
    assert stored_rows(database) == expected_rows(
        [c for c in map(read_click, good) if c], window_seconds=300, session_gap_seconds=1800
    )


def _reasons(database: Path) -> dict[str, int]:
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("SELECT reason, COUNT(*) FROM dead_letters GROUP BY 1"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--input=none.ndjson",), "--input=none.ndjson matches no file: check the path."),
        (("--input=empty.ndjson",), "--input=empty.ndjson is empty: there is nothing to read."),
        (("--input=.",), "--input=. is a directory: name its files, such as ./*.ndjson."),
        (("--inptu=x",), "Unknown option --inptu=x: see --help for those there are."),
        (("--time_spent=often",), "argument --time_spent: Time spent 'often' is not known"),
        (("--output_dir=/proc/none",), "--output_dir=/proc/none can't be written"),
        (("--input=cut.ndjson.gz",), "can't be read to its end (Truncated compressed stream)"),
        (("fly",), "Unknown command 'fly'"),
    ],
)
def test_a_users_mistake_is_one_line_with_its_cure(tmp_path, monkeypatch, capfd, arguments, says) -> None:
    (tmp_path / "empty.ndjson").touch()
    (tmp_path / "cut.ndjson.gz").write_bytes(gzip.compress(os.urandom(10_000))[:-9])
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capfd.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1), said.err
    assert says in said.err


def test_a_mistake_ends_the_process_with_status_2(tmp_path) -> None:
    done = run("--input=none.ndjson", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--input=none.ndjson matches no file: check the path.\n"


def test_document_ids_are_those_of_the_contract() -> None:
    from datetime import datetime, timezone

    assert len(document_id(datetime(2026, 11, 1, tzinfo=timezone.utc), "https://a.example/", "India")) == 24


@pytest.mark.parametrize(
    ("broken", "option", "status"), [(600, (), 4), (500, (), 0), (600, ("--max_rejected_share=off",), 0)]
)
def test_a_log_that_is_mostly_rejected_ends_with_status_4_after_all_is_written(
    tmp_path, broken, option, status
) -> None:
    good = b'{"user_id": "u", "timestamp": 1793527200, "url": "https://a.example/", "country": "India"}\n'
    (tmp_path / "log").write_bytes(good * (1000 - broken) + b"{\n" * broken)
    done = run("--input=log", "--time_spent=fixed:1", *option, cwd=tmp_path)
    assert done.returncode == status
    assert (f"{broken} of 1,000 records were rejected" in done.stderr) == (status == 4)
    (row,) = stored_rows(tmp_path / "out/clickstream.db").values()
    assert row.clicks == 1000 - broken
