"""Breakdowns of the job over logs: to the row, in SQLite and in the bulk file; in pieces, after `forget`, and by `verify`."""

import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from breakdown_oracle import as_broken, expected_breakdown, read_with_traits
from e2e.test_pieces import batch, log_of, text
from local_time import local_period

from clickstream.pipeline.__main__ import main

NAMES = ("browser", "os", "device", "city")
BY = f"--breakdowns={','.join(NAMES)}"
DWELL = {"session_gap_seconds": 600}
LOG = log_of(4_000, seed=31) + log_of(300, seed=31)


def stored(out: Path, table: str) -> dict:
    with sqlite3.connect(out / "clickstream.db") as connection:
        connection.row_factory = sqlite3.Row
        return as_broken(dict(row) for row in connection.execute(f"SELECT * FROM page_metrics_{table}"))  # noqa: S608


def documents(out: Path, table: str) -> dict:
    lines = [json.loads(line) for line in (out / f"elasticsearch_{table}.ndjson").read_bytes().splitlines()]
    assert {line["index"]["_index"] for line in lines[::2]} == {f"processed_clickstream_data_{table}"}
    assert len({line["index"]["_id"] for line in lines[::2]}) == len(lines) // 2
    return as_broken(lines[1::2])


def clicks_by_window(out: Path, table: str) -> list[tuple]:
    with sqlite3.connect(out / "clickstream.db") as connection:
        rows = connection.execute(f"SELECT window_start, SUM(clicks) FROM {table} GROUP BY 1 HAVING SUM(clicks)")  # noqa: S608
        return sorted(rows)


def assert_broken_down(
    out: Path, records: list[bytes], *, names: tuple = NAMES, rollups: tuple = ("",), most: int = 1000, **policy
) -> None:
    """Each breakdown is the oracle's, and its clicks are those of the pages, window by window."""
    clicks = read_with_traits(records)
    for name in names:
        for rollup in rollups:
            period_of = partial(local_period, name=rollup[1:], zone="UTC") if rollup else None
            wanted = expected_breakdown(
                clicks, name, window_seconds=300, period_of=period_of, most_values=most, **policy
            )
            assert stored(out, f"by_{name}{rollup}") == wanted
            assert documents(out, f"by_{name}{rollup}") == wanted
            assert clicks_by_window(out, f"page_metrics_by_{name}{rollup}") == clicks_by_window(
                out, f"page_metrics{rollup}"
            )


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        (("--session_gap=10m", "--rollups=1h,1d"), DWELL | {"rollups": ("", "_1h", "_1d")}),
        (("--time_spent=fixed:300", "--shards=3", "--breakdown_values=2"), {"fixed_seconds": 300.0, "most": 2}),
    ],
    ids=["dwell", "fixed, few values"],
)
def test_rows_are_the_oracles(tmp_path, options, policy) -> None:
    (tmp_path / "a.ndjson").write_bytes(text(LOG))
    batch(tmp_path, "a.ndjson", BY, *options)
    assert_broken_down(tmp_path / "out", LOG, **policy)


def arrived(record: bytes, number: int) -> bytes:
    """A good record with a referrer and campaign parameters."""
    try:
        event = json.loads(record)
        click = event.get("click_data") or event
        click["referrer"] = REFERRERS[number % len(REFERRERS)]
        click["url"] += ("&" if "?" in click["url"] else "?") + QUERIES[number % len(QUERIES)]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return record
    return json.dumps(event).encode()


REFERRERS = [None, "https://www.google.com/", "https://www.example.com/x", "https://blog.example/", "https://t.co/1"]
QUERIES = ["utm_source=newsletter&utm_campaign=spring%20sale", "q=1", "utm_medium=cpc&utm_source=google"]


def test_where_visitors_came_from(tmp_path) -> None:
    """The campaign is read before its parameters are off: pages stay one row."""
    records = [arrived(record, number) for number, record in enumerate(LOG[:1_500])]
    (tmp_path / "a.ndjson").write_bytes(text(records))
    names = ("referrer", "channel", "campaign")
    batch(tmp_path, "a.ndjson", f"--breakdowns={','.join(names)}", "--session_gap=10m")
    assert_broken_down(tmp_path / "out", records, names=names, **DWELL)
    assert {value for _, value, _ in stored(tmp_path / "out", "by_campaign")} == {"", "spring sale", "autumn"}
    with sqlite3.connect(tmp_path / "out/clickstream.db") as connection:
        assert not list(connection.execute("SELECT url FROM page_metrics WHERE url LIKE '%utm%'"))


def test_pieces_come_to_the_whole_and_a_user_can_be_forgotten(tmp_path, capsys) -> None:
    """With few values, so that those that have rows of their own change from piece to piece."""
    options = ("--breakdowns=os,city", "--session_gap=10m", "--breakdown_values=3")
    for number, piece in enumerate((LOG[:2_500], LOG[2_500:])):
        (tmp_path / f"{number}.ndjson").write_bytes(text(piece))
        batch(tmp_path, f"{number}.ndjson", *options)
    out = tmp_path / "out"
    assert_broken_down(out, LOG, names=("os", "city"), most=3, **DWELL)

    user = read_with_traits(LOG)[0][0].user_id
    kept = ["--raw_store=files", f"--output_dir={out}", *options]
    assert main(["forget", *kept, f"--user={user}"]) == 0
    left = [(click, traits) for click, traits in read_with_traits(LOG) if click.user_id != user]
    for name in ("os", "city"):
        assert stored(out, f"by_{name}") == expected_breakdown(left, name, window_seconds=300, most_values=3, **DWELL)
    capsys.readouterr()
    asked = ["verify", *kept, "--from=2026-11-01T22:00:00Z", "--to=2026-11-02T02:00:00Z"]
    assert main(asked) == 0
    with sqlite3.connect(out / "clickstream.db") as connection:
        connection.execute("UPDATE page_metrics_by_os SET unique_users = unique_users + 1 WHERE clicks > 5")
    assert main(asked) == 1
    assert "SQLite page_metrics_by_os" in capsys.readouterr().out


def test_a_folder_of_other_breakdowns_is_refused_and_one_without_has_no_such_tables(tmp_path, capsys) -> None:
    (tmp_path / "a.ndjson").write_bytes(text(LOG[:50]))
    batch(tmp_path, "a.ndjson")
    with sqlite3.connect(tmp_path / "out/clickstream.db") as connection:
        assert not list(connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%by%'"))
    assert main([f"--input={tmp_path / 'a.ndjson'}", f"--output_dir={tmp_path / 'out'}", BY]) == 2
    assert "holds results of --breakdowns=None, not browser,os,device,city" in capsys.readouterr().err
    assert main([f"--output_dir={tmp_path / 'other'}", "--breakdowns=colour"]) == 2
    assert "'colour' is no list of breakdowns: write some of browser,os" in capsys.readouterr().err
