"""`--hash_user_ids` as a user runs it: the same numbers, and no user id in anything that a run leaves behind or says."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from e2e.live_harness import FEW

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main

OPTION = "--hash_user_ids=env:USER_KEY"
KEY = "a-key-of-the-tests-that-is-long-enough"
NUMBERS = """
    SELECT window_start, url, country, clicks, unique_users, time_spent_seconds, timed_clicks, avg_time_spent, sessions, bounces, version
    FROM page_metrics ORDER BY 1, 2, 3"""
SKETCHES = "SELECT users_theta, users_sketch FROM page_metrics ORDER BY window_start, url, country"
RAWS = "SELECT raw FROM dead_letters ORDER BY source, position"
LETTERS = "SELECT source, position, reason FROM dead_letters ORDER BY 1, 2"


def run(
    *arguments: str, cwd: Path, command: tuple[str, ...] = (), key: str | None = KEY
) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "USER_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "clickstream.pipeline", *command, *arguments],
        cwd=cwd,
        env=environment | ({} if key is None else {"USER_KEY": key}),
        capture_output=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A log of nested and flat records, 5 % broken, with ids in row keys and unknown fields too; and what the job makes of it without the option."""
    folder = tmp_path_factory.mktemp("pseudonyms")
    lines = [
        with_ids_elsewhere(record, number)
        for flat in (False, True)
        for batch in sample_records(SampleOptions(events=10_000, broken_share=0.05, flat=flat, **FEW))
        for number, record in enumerate(batch)
    ]
    (folder / "clicks.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    done = run("--input=clicks.ndjson", "--output_dir=plain", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    return folder


def with_ids_elsewhere(record: bytes, number: int) -> bytes:
    """Of every third record: its user's id in the row key, and in a field that nobody knows, escaped."""
    found = re.search(rb'"user_id":"(user-\d+)"', record)
    if number % 3 or not found:
        return record
    user = found[1].decode()
    keyed = re.sub(rb'"row_key":"\w+"', f'"row_key":"{user}_{number}"'.encode(), record)
    return keyed.replace(b"{", b'{"seen_by":"\\u0075%s at noon",' % found[1][1:], 1)


def query(database: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(database) as connection:
        return connection.execute(sql).fetchall()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ids_in(folder: Path) -> list[str]:
    """What in a folder's files is an id of the log, also where it is escaped."""
    pattern = re.compile(rb"(u|\\u0075)ser-\d+")
    return [f"{name}: {found[0]!r}" for name, content in files(folder).items() if (found := pattern.search(content))]


@pytest.fixture(scope="module")
def hidden(folder) -> Path:
    """What the job makes of it with the option."""
    done = run("--input=clicks.ndjson", "--output_dir=hidden", OPTION, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    (folder / "hidden/said").write_bytes(done.stdout + done.stderr)
    return folder / "hidden"


def test_the_same_numbers_and_no_id_behind_the_parse(folder, hidden) -> None:
    assert ids_in(folder / "plain"), "the search finds ids where they are"
    assert ids_in(hidden) == []
    for sql in (NUMBERS, LETTERS):
        assert query(hidden / "clickstream.db", sql) == query(folder / "plain/clickstream.db", sql)
    assert query(hidden / "clickstream.db", SKETCHES) != query(folder / "plain/clickstream.db", SKETCHES)
    assert KEY.encode() not in b"".join(files(hidden).values())


def test_two_processes_with_the_key_in_a_file_give_the_same(folder, hidden, tmp_path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    options = (
        f"--hash_user_ids=file:{tmp_path}/key",
        "--direct_num_workers=2",
        "--direct_running_mode=multi_processing",
    )
    done = run("--input=clicks.ndjson", f"--output_dir={tmp_path / 'out'}", *options, cwd=folder, key=None)
    assert done.returncode == 0, done.stderr.decode()
    assert ids_in(tmp_path / "out") == []
    for sql in (NUMBERS, SKETCHES, RAWS):
        assert query(tmp_path / "out/clickstream.db", sql) == query(hidden / "clickstream.db", sql)


def test_replayed_dead_letters_give_the_numbers_as_if_accepted_at_first(folder, hidden, tmp_path) -> None:
    """Events from 2150 are rejected; with the bound off they count, for the same users as ever."""
    shutil.copytree(hidden, tmp_path / "out")
    options = (f"--output_dir={tmp_path / 'at_first'}", OPTION, "--max_clock_skew=off")
    assert run("--input=clicks.ndjson", *options, cwd=folder).returncode == 0
    database, at_first = tmp_path / "out/clickstream.db", tmp_path / "at_first/clickstream.db"
    accepted = {letter[:2] for letter in query(database, LETTERS)} - {letter[:2] for letter in query(at_first, LETTERS)}
    assert len(accepted) > 20
    options = (f"--output_dir={tmp_path / 'out'}", "--max_clock_skew=off")
    done = run(*options, cwd=folder, command=("replay-dead-letters",))
    assert done.returncode == 0, done.stderr.decode()
    assert f"Dead letters now accepted and counted: {len(accepted)}\n".encode() in done.stdout
    for sql in (NUMBERS, SKETCHES, RAWS):
        assert query(database, sql) == query(at_first, sql)
    assert ids_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:USER_KEY", "The environment variable USER_KEY is not set"),
        ("file:none", "The secret's file none can't be read"),
        ("file:short", "--hash_user_ids=file:short: The key of the pseudonyms has 15 bytes; it takes at least 16"),
        ("file:binary", "--hash_user_ids=file:binary is no text: make a key with openssl rand -hex 32."),
        ("0123456789abcdef0123456789abcdef", "A secret is given by reference: write env:NAME"),
        ("", "A secret is given by reference: write env:NAME"),
    ],
)
def test_a_wrong_or_missing_key_is_one_line(tmp_path, monkeypatch, capfd, reference, says) -> None:
    (tmp_path / "short").write_text("x" * 15)
    (tmp_path / "binary").write_bytes(b"\xff" * 32)
    (tmp_path / "clicks.ndjson").write_text(json.dumps({}) + "\n")
    monkeypatch.chdir(tmp_path)
    assert main(["--input=clicks.ndjson", f"--hash_user_ids={reference}"]) == 2
    said = capfd.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1), said.err
    assert says in said.err
    assert "0123456789abcdef" not in said.err


def test_dead_letters_of_a_live_job_go_back_into_its_topic_as_the_same_users(kafka, tmp_path) -> None:
    """Clicks of ten users, of whom five click again where clocks are too far ahead: refused, replayed, and still ten."""
    now = time.time()
    window = next(seconds for seconds in (86_400, 50_000) if now // seconds == (now + 3600) // seconds)
    early = [click(f"visitor-{number}", now, number) for number in range(10)]
    ahead = [click(f"visitor-{number}", now + 1800, 100 + number) for number in range(5)]
    topic = kafka.create_topic(f"pseudonyms-{time.time_ns()}", 2)
    produce(kafka, topic, [*early, *ahead, b"visitor-7 is no JSON"])
    place = (f"--bootstrap_servers={kafka.address}", f"--topic={topic}", f"--group_id={topic}", OPTION)
    job = (*place, "--until=now", f"--window_seconds={window}", "--start=earliest", "--output_dir=out")
    assert run(*job, cwd=tmp_path).returncode == 0
    database = tmp_path / "out/clickstream.db"
    assert counts(database) == (10, 10)
    letters = (*place, f"--dead_letters=file:{database}", "--max_clock_skew=2h")
    done = run(*letters, cwd=tmp_path, command=("replay-dead-letters",))
    assert done.stdout.decode() == f"Dead letters now accepted and sent to {topic}: 5; 1 still refused\n", done.stderr
    assert run(*job, "--max_clock_skew=2h", "--start=committed", "--output_dir=again", cwd=tmp_path).returncode == 0
    again = tmp_path / "again/clickstream.db"
    # Their window isn't over, so the originals are read again, and accepted now too: user and row key are those of the replayed ones.
    assert counts(again) == (15, 10)
    for name in ("out", "again"):
        found = [file for file, content in files(tmp_path / name).items() if b"visitor-" in content]
        assert found == []


def click(user: str, at: float, number: int) -> bytes:
    record = {"row_key": f"{user}:{number}", "user_id": user, "timestamp": round(at * 1000)}
    return json.dumps(record | {"url": "https://a.example/", "country": "India"}).encode()


def counts(database: Path) -> tuple[int, int]:
    """Clicks and users of the only row."""
    ((clicks, users),) = query(database, "SELECT clicks, unique_users FROM page_metrics")
    return clicks, users


def produce(kafka, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    for value in values:
        producer.produce(topic, value=value)
    assert producer.flush(30) == 0
