"""A log in pieces: however it is cut into files and runs, the rows are those of one run over all of it."""

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest
from e2e.live_harness import FEW
from e2e.test_batch import document_rows, stored_rows
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_time import local_period
from oracle import expected_rows, read_click

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main

START = datetime(2026, 11, 1, 22, tzinfo=timezone.utc)
POLICIES = {
    "dwell": (("--session_gap=10m", "--rollups=1h,1d"), {"session_gap_seconds": 600}),
    "fixed": (("--time_spent=fixed:300",), {"fixed_seconds": 300.0}),
    "reported": (("--time_spent=reported",), {}),
    "reported, equal clicks once": (("--time_spent=reported", "--deduplicate=row_key"), {"deduplicate": True}),
}


def log_of(events: int, **options) -> list[bytes]:
    shape = SampleOptions(events=events, start=START, duration_seconds=10_800, broken_share=0.05, **FEW, **options)
    return [record for batch in sample_records(shape) for record in batch]


LOG = log_of(400, seed=11) + log_of(100, seed=11)  # a quarter of it twice
PIECE_1 = [
    json.dumps(
        {"user_id": f"u{n}", "timestamp": f"2026-11-01T10:00:{n:02}Z", "url": "https://a.example/p", "country": "India"}
    ).encode()
    for n in range(16)
]


def batch(folder: Path, pattern: str, *options: str) -> None:
    assert main([f"--input={folder / pattern}", f"--output_dir={folder / 'out'}", *options]) == 0


def counted(rows: dict) -> dict:
    """Without versions, and without rows that nobody is left of."""
    return {key: row._replace(version=0) for key, row in rows.items() if row.clicks}


def expected(records: Iterable[bytes], rollup: str = "", **policy) -> dict:
    clicks = [click for click in map(read_click, records) if click and click.millis < 4_000_000_000_000]
    period_of = partial(local_period, name=rollup[1:], zone="UTC") if rollup else None
    return counted(expected_rows(clicks, window_seconds=300, period_of=period_of, **policy))


def text(records: Iterable[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


def assert_whole(out: Path, records: Iterable[bytes], policy: dict, rollups: Iterable[str] = ()) -> None:
    for rollup in ("", *rollups):
        right = expected(records, rollup, **policy)
        assert counted(stored_rows(out / "clickstream.db", rollup)) == right
        assert counted(document_rows(out / f"elasticsearch{rollup}.ndjson")) == right


@st.composite
def cuts(draw) -> tuple[list[list[bytes]], list[list[float]]]:
    """Files of a log's records in any order; and the shares of them that are there at each run, which grow to all."""
    records = draw(st.permutations(LOG)) if draw(st.booleans()) else LOG
    edges = sorted(draw(st.lists(st.integers(0, len(records)), min_size=0, max_size=2)))
    files = [records[a:b] for a, b in zip([0, *edges], [*edges, len(records)], strict=True)]
    runs = draw(st.integers(1, 3))
    grown = [sorted(draw(st.lists(st.floats(0, 1), min_size=runs - 1, max_size=runs - 1))) for _ in files]
    return files, [[*[shares[run] for shares in grown]] for run in range(runs - 1)] + [[1.0] * len(files)]


@pytest.mark.parametrize("policy", POLICIES)
@settings(  # a failing cut isn't shrunk: each try is a few whole runs
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(cut=cuts(), renamed=st.booleans(), in_bytes=st.booleans())
def test_however_a_log_is_cut_the_rows_are_those_of_one_run(tmp_path_factory, policy, cut, renamed, in_bytes) -> None:
    """Files grow from run to run, in the middle of a line too, and are rotated: renamed, and packed, between two runs."""
    folder = tmp_path_factory.mktemp("cut")
    (files, runs), (options, rules) = cut, POLICIES[policy]
    for number, shares in enumerate(runs):
        for index, (records, share) in enumerate(zip(files, shares, strict=True)):
            whole = text(records)
            some = whole[: round(share * len(whole))] if in_bytes else text(records[: round(share * len(records))])
            for old in folder.glob(f"{index}.log*"):
                old.unlink()
            is_packed = renamed and number == len(runs) - 1
            name = f"{index}.log.{number}.gz" if is_packed else f"{index}.log"
            (folder / name).write_bytes(gzip.compress(some) if is_packed and some else some)
        if any(file.stat().st_size for file in folder.glob("*.log*")):
            batch(folder, "*.log*", *options)
    rollups = ("_1h", "_1d") if policy == "dwell" else ()
    assert_whole(folder / "out", [record for records in files for record in records], rules, rollups)


def test_two_pieces_of_a_window_are_one(tmp_path) -> None:
    for name, records in (("1", PIECE_1[:10]), ("2", PIECE_1[10:])):
        (tmp_path / name).write_bytes(text(records))
        batch(tmp_path, name)
    (row,) = stored_rows(tmp_path / "out/clickstream.db").values()
    assert (row.clicks, row.unique_users) == (16, 16)


def test_a_file_that_is_given_again_in_any_form_counts_once(tmp_path, capsys) -> None:
    """Equal clicks are counted here, each: only by the file is it known that these are the same."""
    options, rules = POLICIES["fixed"]
    log = tmp_path / "app.log"
    log.write_bytes(text(LOG[:300]))
    batch(tmp_path, "app.log", *options)
    batch(tmp_path, "app.log", *options)
    assert "1 log was read before: nothing new in there" in capsys.readouterr().out
    assert_whole(tmp_path / "out", LOG[:300], rules)
    log.rename(tmp_path / "app.log.1")
    log.write_bytes(text(LOG[300:]))
    batch(tmp_path, "app.log*", *options)
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress((tmp_path / "app.log.1").read_bytes()))
    (tmp_path / "app.log.1").unlink()
    capsys.readouterr()
    batch(tmp_path, "app.log*", *options)
    assert "read 0 = " in capsys.readouterr().out
    assert_whole(tmp_path / "out", LOG, rules)


def test_two_files_of_the_same_content_are_two(tmp_path) -> None:
    """As in one run over both: equal clicks are counted, each, unless --deduplicate says otherwise."""
    options, rules = POLICIES["fixed"]
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(text(LOG[:50]))
        batch(tmp_path, name, *options)
    assert_whole(tmp_path / "out", LOG[:50] * 2, rules)


def test_a_line_that_was_half_written_counts_once_it_is_whole(tmp_path) -> None:
    options, rules = POLICIES["fixed"]
    whole = text(PIECE_1)
    for end in (len(whole) // 2, len(whole) - 1, len(whole)):
        (tmp_path / "app.log").write_bytes(whole[:end])
        batch(tmp_path, "app.log", *options)
    assert_whole(tmp_path / "out", PIECE_1, rules)
    with sqlite3.connect(tmp_path / "out/clickstream.db") as database:
        assert database.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (0,)


@pytest.mark.parametrize("seconds", [1.5, 4.0])
def test_a_run_that_is_killed_is_made_good_by_the_next(tmp_path, seconds) -> None:
    options, rules = POLICIES["fixed"]
    (tmp_path / "1.log").write_bytes(text(LOG[:250]))
    batch(tmp_path, "1.log", *options)
    (tmp_path / "2.log").write_bytes(text(LOG[250:]))
    arguments = [f"--input={tmp_path / '*.log'}", f"--output_dir={tmp_path / 'out'}", *options]
    job = subprocess.Popen([sys.executable, "-m", "clickstream.pipeline", *arguments], stdout=subprocess.DEVNULL)
    time.sleep(seconds)
    job.kill()
    job.wait()
    batch(tmp_path, "*.log", *options)
    assert_whole(tmp_path / "out", LOG, rules)
    known = {path.name for path in (tmp_path / "out/clicks").glob("*.arrow*")}
    with sqlite3.connect(tmp_path / "out/clicks/index.db") as index:
        assert known == {name for (name,) in index.execute("SELECT DISTINCT part FROM batches")}


def test_without_kept_clicks_each_run_stands_alone(tmp_path) -> None:
    for name, records in (("1", PIECE_1[:10]), ("2", PIECE_1[10:])):
        (tmp_path / name).write_bytes(text(records))
        batch(tmp_path, name, "--raw_store=none")
    (row,) = stored_rows(tmp_path / "out/clickstream.db").values()
    assert row.clicks == 10
    assert not (tmp_path / "out/clicks").exists()


def test_kept_clicks_can_be_verified_and_forgotten(tmp_path, capsys) -> None:
    (tmp_path / "1.log").write_bytes(text(PIECE_1[:10]))
    (tmp_path / "2.log").write_bytes(text(PIECE_1[10:]))
    for name in ("1.log", "2.log"):
        batch(tmp_path, name)
    store = ["--raw_store=files", f"--output_dir={tmp_path / 'out'}"]
    assert main(["verify", *store, "--from=2026-11-01", "--to=2026-11-02"]) == 0
    assert main(["forget", *store, "--user=u3"]) == 0
    assert "1 clicks of 1 buckets removed" in capsys.readouterr().out
    (row,) = stored_rows(tmp_path / "out/clickstream.db").values()
    assert (row.clicks, row.unique_users) == (15, 15)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out/clicks").glob("*.arrow"))
    assert kept
    assert len(list((tmp_path / "out/clicks").glob("*.arrow"))) == 2
    shutil.rmtree(tmp_path / "out/clicks")


LAYOUTS = {
    "side by side": (b"", b"", b""),
    "array": (b"[\n  ", b",\n  ", b"\n]\n"),
    "over several lines": (b"", b"\n", b"\n"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_of_other_than_lines_grows_too(tmp_path, layout) -> None:
    """By half a record, and by whole ones; an array's end is taken away as it grows."""
    options, rules = POLICIES["fixed"]
    before, between, behind = LAYOUTS[layout]
    over_lines = [json.dumps(json.loads(line), indent=1).encode() for line in PIECE_1]
    records = over_lines if layout == "over several lines" else PIECE_1
    whole = before + between.join(records) + behind
    for text_now in (whole[: len(whole) // 3], before + between.join(records[:9]) + behind, whole, whole):
        (tmp_path / "app.json").write_bytes(text_now)
        batch(tmp_path, "app.json", *options)
    assert_whole(tmp_path / "out", PIECE_1, rules)
    with sqlite3.connect(tmp_path / "out/clickstream.db") as database:
        assert database.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (0,)
