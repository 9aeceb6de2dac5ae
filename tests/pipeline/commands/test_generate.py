import json
import re
import signal
import subprocess
import sys
import time

import pytest

from clickstream.io.sample import SampleOptions, write_log
from clickstream.pipeline.commands.generate import main

CODE = "import sys; from clickstream.pipeline.commands.generate import main; sys.exit(main(sys.argv[1:]))"


def test_it_writes_what_the_options_say_and_one_line(tmp_path, capsys):
    path = tmp_path / "clicks.ndjson"
    options = [
        "--events=3000",
        "--users=9",
        "--pages=5",
        "--seed=7",
        "--broken_share=0",
        "--flat",
        "--start=2024-02-29",
    ]
    assert main([f"--output={path}", *options]) == 0
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(records) == 3_000
    assert len({record["user_id"] for record in records}) == 9
    assert {record["timestamp"][:10] for record in records} <= {"2024-02-29", "2024-03-01"}
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"3,000 events, {path.stat().st_size:,} bytes in [\d.]+ s: [\d,]+ events/s → .*\n", out)
    assert err == ""


def test_defaults_are_those_of_the_sample(tmp_path):
    assert main([f"--output={tmp_path / 'a'}", "--events=100"]) == 0
    write_log(tmp_path / "b", SampleOptions(events=100))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--output"),
        (["--output=x", "--bootstrap_servers=localhost:1"], "one target"),
        (["--output=x", "--evnts=3"], "--evnts"),
        (["--output=x", "--event=3"], "--event"),
        (["--output=x", "stray"], "stray"),
        (["--output=x", "--events=many"], "--events"),
        (["--output=x", "--events=0"], "--events"),
        (["--output=x", "--broken_share=2"], "--broken_share"),
        (["--output=x", "--late_share=nan"], "--late_share"),
        (["--output=x", "--start=tomorrow"], "--start"),
        (["--output=x", "--start=1960-01-01"], "--start"),
        (["--output=x", "--rate=5"], "--rate"),
        (["--output=x", "--topic=t"], "--topic"),
        (["--output=none/x"], "none"),
        (["--output=."], "is a folder"),
        (["--output=x.bz2"], ".gz or .zst"),
        (["--bootstrap_servers=localhost:1", "--rate=0"], "--rate"),
        (["--bootstrap_servers=localhost:1", "--rate=5", "--start=2025-01-01"], "--start"),
        (["--bootstrap_servers=localhost:1", "--kafka_config=none"], "--kafka_config=none"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert told in err
    assert not list(tmp_path.iterdir())


def test_no_broker_is_one_line_and_status_2(capsys):
    assert main(["--bootstrap_servers=127.0.0.1:1", "--rate=5"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("generate: No Kafka broker answers at 127.0.0.1:1")
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_log_leaves_nothing_behind(tmp_path, number):
    arguments = [f"--output={tmp_path / 'clicks.ndjson'}", "--events=1000000000"]
    with subprocess.Popen([sys.executable, "-c", CODE, *arguments], stderr=subprocess.PIPE) as run:
        try:
            deadline = time.monotonic() + 60
            while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert [path.name for path in tmp_path.iterdir()] == [f".clicks.ndjson.{run.pid}.part"]
            run.send_signal(number)
            _, err = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode == 0
    assert err == b"generate: stopped; nothing was written.\n"
    assert not list(tmp_path.iterdir())


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    main([f"--output={tmp_path / 'a'}", "--events=10"])
    main(["--none"])
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
