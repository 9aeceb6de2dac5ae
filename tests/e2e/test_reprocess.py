"""Batch jobs with a raw store, and what can be done with it afterwards, as users run it: on SQLite files, without any server."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from e2e.live_harness import FEW
from e2e.live_stores import click_of
from e2e.test_batch import stored_rows
from oracle import expected_rows

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
RANGE = ["--from=2026-11-01", "--to=2026-11-02"]
GAP = 600
SHAPE = [f"--session_gap={GAP}s", "--rollups=1h,1d", "--time_zone=Asia/Kolkata"]


def sample(seed: int) -> list[bytes]:
    options = SampleOptions(seed=seed, events=8_000, start=START, duration_seconds=14_400, broken_share=0.02, **FEW)
    return [record for batch in sample_records(options) for record in batch]


def options_of(folder: Path) -> list[str]:
    return [f"--output_dir={folder / 'out'}", "--raw_store=sqlite", *SHAPE]


def batch(folder: Path, records: Iterable[bytes]) -> None:
    log = folder / "log.ndjson"
    log.write_bytes(b"\n".join(records))
    assert main([f"--input={log}", *options_of(folder)]) == 0


def rows(folder: Path, rollup: str = "") -> dict:
    """What is published: without versions, and without rows that nobody is left of."""
    found = stored_rows(folder / "out/clickstream.db", rollup)
    return {key: row._replace(version=0) for key, row in found.items() if row.clicks}


def expected(records: Iterable[bytes]) -> dict:
    clicks = [click for record in set(records) if (click := click_of(record))]
    found = expected_rows(clicks, window_seconds=300, session_gap_seconds=GAP)
    return {key: row._replace(version=0) for key, row in found.items()}


def day_totals(folder: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(folder / "out/clickstream.db") as database:
        return database.execute("SELECT window_start, SUM(clicks) FROM page_metrics_1d GROUP BY 1").fetchall()


@contextmanager
def periodic(folder: Path, every: str) -> Iterator[subprocess.Popen]:
    """`reprocess --every` while the block lasts; then it is stopped in order."""
    command = [sys.executable, "-m", "clickstream.pipeline", "reprocess", *options_of(folder), f"--every={every}"]
    with (folder / "said").open("wb") as said:
        job = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=folder)
        try:
            yield job
            job.send_signal(signal.SIGTERM)
            assert job.wait(60) == 0, (folder / "said").read_text()
        finally:
            job.kill()


def wait_until(true, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture
def folder(tmp_path, capsys) -> Path:
    """A folder with one batch in it."""
    batch(tmp_path, sample(1))
    capsys.readouterr()
    return tmp_path


def test_the_same_log_again_changes_nothing(folder, capsys) -> None:
    stored = folder / "out/raw_clicks.db"
    query = "SELECT * FROM clickstream_data ORDER BY 1, 2"
    before = sqlite3.connect(stored).execute(query).fetchall(), rows(folder), rows(folder, "_1d")
    assert before[1] == expected(sample(1))
    batch(folder, sample(1))
    assert (sqlite3.connect(stored).execute(query).fetchall(), rows(folder), rows(folder, "_1d")) == before
    capsys.readouterr()
    assert main(["verify", *options_of(folder), *RANGE]) == 0
    assert capsys.readouterr().out == "Nothing differs.\n"


def test_two_logs_are_one_and_what_is_lost_is_computed_again(folder, capsys) -> None:
    batch(folder, sample(2))
    whole = expected(sample(1) + sample(2))
    assert rows(folder) == whole
    assert main(["verify", *options_of(folder), *RANGE]) == 0
    days = day_totals(folder)
    with sqlite3.connect(folder / "out/clickstream.db") as database:
        for table in ("page_metrics", "page_metrics_1d"):
            database.execute(f"DELETE FROM {table} WHERE country < 'H'")  # noqa: S608
    assert main(["verify", *options_of(folder), *RANGE]) == 1
    assert main(["reprocess", *options_of(folder), *RANGE, "--dry_run"]) == 0
    assert rows(folder) != whole
    assert day_totals(folder) != days
    assert main(["reprocess", *options_of(folder), *RANGE]) == 0
    assert rows(folder) == whole
    assert day_totals(folder) == days
    capsys.readouterr()
    assert main(["verify", *options_of(folder), *RANGE]) == 0


def test_a_forgotten_user_is_in_no_hour_or_day(folder, capsys) -> None:
    users = [click.user_id for record in sample(1) if (click := click_of(record))]
    user = max(set(users), key=users.count)
    assert main(["forget", *options_of(folder), f"--user={user}"]) == 0
    others = [record for record in sample(1) if (click := click_of(record)) and click.user_id != user]
    assert rows(folder) == expected(others)
    assert sum(clicks for _, clicks in day_totals(folder)) == sum(row.clicks for row in expected(others).values())
    assert main(["verify", *options_of(folder), *RANGE]) == 0
    assert user not in json.dumps(
        sqlite3.connect(folder / "out/raw_clicks.db")
        .execute("SELECT click_data_user_id FROM clickstream_data")
        .fetchall()
    )


def test_the_periodic_job_publishes_what_came_since(folder) -> None:
    with periodic(folder, "1s"):
        batch(folder, sample(2))
        whole = expected(sample(1) + sample(2))
        wait_until(lambda: rows(folder) == whole)


def test_two_jobs_never_at_once(folder, capsys) -> None:
    """Whichever comes second is told: this one at once, or the periodic one, which tries again, while this one computes."""
    said = folder / "said"
    with periodic(folder, "0.2s"):
        wait_until(lambda: "windows restated" in said.read_text())
        refused = main(["reprocess", *options_of(folder), *RANGE]) != 0
        told = capsys.readouterr().err if refused else said.read_text()
    assert "another job reprocesses it" in told


def test_what_is_expired_is_left_as_it_was_published(folder, capsys) -> None:
    before = rows(folder)
    assert main(["reprocess", *options_of(folder), *RANGE, "--retention=1h"]) == 0
    with sqlite3.connect(folder / "out/raw_clicks.db") as store:
        assert store.execute("SELECT COUNT(*) FROM clickstream_data").fetchone() == (0,)
    assert rows(folder) == before
    assert "the raw store holds fewer clicks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", *RANGE], "Which raw store? Give --raw_store="),
        (["verify", "--raw_store=sqlite", "--from=2026-11-01"], "Which windows? Give --from=TIME and --to=TIME"),
        (["reprocess", "--raw_store=sqlite", "--from=2026-11-02", "--to=2026-11-01"], "is not before --to="),
        (["reprocess", "--raw_store=mysql", *RANGE], "--raw_store=mysql needs --mysql=mysql://"),
        (["reprocess", "--raw_store=cassandra", *RANGE], "--raw_store=cassandra needs --cassandra=HOST:PORT"),
        (["forget", "--raw_store=sqlite"], "forget needs --user=ID"),
        (["--raw_store=sqlite", "--deduplicate=off"], "--deduplicate=off counts equal clicks twice"),
        (["--raw_store=sqlite", "--retention=soon"], "'soon' is no duration"),
    ],
)
def test_mistakes_are_one_line(arguments, says, tmp_path, capsys) -> None:
    assert main([*arguments, f"--output_dir={tmp_path / 'out'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_windows_of_another_length_are_not_taken_for_wrong_ones(folder, capsys) -> None:
    arguments = [option for option in options_of(folder) if not option.startswith("--rollups")]
    assert main(["verify", *arguments, *RANGE, "--window_seconds=60"]) == 2
    assert "--window_seconds=300" in capsys.readouterr().err  # what the rows were made with, and the cure


def test_another_schema_is_refused_before_the_first_click(folder, capsys) -> None:
    with sqlite3.connect(folder / "out/raw_clicks.db") as store:
        store.execute("ALTER TABLE clickstream_data RENAME COLUMN geo_data_city TO town")
    assert main([f"--input={folder / 'log.ndjson'}", *options_of(folder)]) == 2
    assert "column geo_data_city: found none of this name" in capsys.readouterr().err
