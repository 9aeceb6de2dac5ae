"""The command `page` and the option `--page`, as a user starts them."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.watch.page_process import _health_port, page_beside


@contextmanager
def started(*arguments, **options):
    """A process of the package: a command of it, or a program."""
    program = ["-c", *arguments] if "\n" in arguments[0] else ["-m", "clickstream.pipeline", *arguments]
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True} | options
    process = subprocess.Popen([sys.executable, *program], **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def address_of(process):
    for line in process.stderr:
        if found := re.match(r"Page: (\S+)  \(Ctrl-C ends it\)\n", line):
            return found[1]
    pytest.fail("no page")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    made = tmp_path_factory.mktemp("log") / "clicks.ndjson"
    options = SampleOptions(events=500, broken_share=0.1, pages=5)
    made.write_bytes(b"\n".join(record for batch in sample_records(options) for record in batch) + b"\n")
    return made


@pytest.fixture(scope="module")
def folder(log, tmp_path_factory):
    made = tmp_path_factory.mktemp("out")
    assert main([f"--input={log}", f"--output_dir={made}"]) == 0
    return made


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_after_a_batch_job_the_page_stays_until_it_is_stopped(log, tmp_path, stop) -> None:
    with started(f"--input={log}", "--output_dir=out", "--page", "--page_port=0", cwd=tmp_path) as process:
        address = address_of(process)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        shown = httpx.get(address, trust_env=False, timeout=60)
        assert (shown.status_code, "https://" in shown.text) == (200, True)
        assert "No live job is connected" in httpx.get(f"{address}health", trust_env=False, timeout=60).text
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_elsewhere_it_prints_a_token_once(folder) -> None:
    with started("page", f"--output_dir={folder}", "--page_port=0", "--page_host=0.0.0.0") as process:
        address = address_of(process).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        plain, _, token = address.partition("?token=")
        assert len(token) >= 32
        assert httpx.get(plain, trust_env=False, timeout=60).status_code == 401
        with httpx.Client(trust_env=False, timeout=60, follow_redirects=True) as client:
            assert "https://" in client.get(address).text


def test_it_leaves_nothing_in_the_folder_that_it_shows(folder) -> None:
    before = sorted(path.name for path in folder.iterdir())
    with started("page", f"--output_dir={folder}", "--page_port=0") as process:
        address = address_of(process)
        for path in ("", "rejected", "pages.csv"):
            assert httpx.get(f"{address}{path}", trust_env=False, timeout=60, follow_redirects=True).status_code == 200
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output_dir=nowhere"], "nowhere holds no results: name a run's folder with --output_dir"),
        (["--time_zone=Mars"], "--time_zone=Mars: there is no such zone"),
        (["--health=localhost:9"], "--health takes http://HOST:PORT"),
        (["--page_port=x"], "'x' is no whole number from 0 to 65535"),
        (["--page_token=CANARY"], "A secret is given by reference"),
        (["--page_token=env:SHORT"], "--page_token=env:SHORT is no token: 16 printable characters or more"),
        (["--page_host=192.0.2.1", "--page_port=0"], "The page can't listen on 192.0.2.1"),
        (["--pages"], "Unknown option --pages"),
        (["--mysql=mysql://a:CANARY@b/c"], "--mysql must not hold a password"),
    ],
)
def test_a_users_mistake_is_one_line(options, said, folder, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHORT", "CANARY")
    assert main(["page", *([] if "--output_dir=nowhere" in options else [f"--output_dir={folder}"]), *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert "CANARY" not in printed.err


def test_help_names_its_options(capsys) -> None:
    assert main(["page", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(
        f"--{name}" in printed for name in ("page_port", "page_host", "page_token", "health", "mysql", "time_zone")
    )


def test_beside_a_job_it_waits_for_the_store_and_ends_with_the_job(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with page_beside(["--output_dir=out", "--page_port=0"]) as options:
        assert options == ["--output_dir=out", "--page_port=0"]
    program = (
        "import time\nfrom clickstream.pipeline.watch.page_process import page_beside\n"
        "with page_beside(['--page', '--page_port=0', '--output_dir=out']) as options:\n"
        "    print(options, flush=True)\n    time.sleep(600)\n"
    )
    with started(program, stdout=subprocess.PIPE) as job:
        assert re.search(r"'--health_port=\d+'", job.stdout.readline())
        address = address_of(job)
        assert "out holds no results" in httpx.get(address, trust_env=False, timeout=60).text
        assert "Connection refused" in httpx.get(f"{address}health", trust_env=False, timeout=60).text
        job.kill()
        until = time.monotonic() + 60
        while _answers(address):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert not os.path.exists("out")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--health_port=123", "--x"], ("123", ["--x"])),
        (["--x", "--health_port", "123", "--page"], ("123", ["--x", "--page"])),
        (["--health_port=wrong"], ("wrong", [])),
    ],
)
def test_a_health_port_that_is_given_is_the_jobs(given, expected) -> None:
    assert _health_port(given) == expected


@pytest.mark.parametrize("given", [[], ["--health_port=0"], ["--health_port", "0"]])
def test_else_it_is_a_free_one(given) -> None:
    port, others = _health_port([*given, "--page"])
    assert (int(port) > 0, others) == (True, ["--page"])


def _answers(address):
    try:
        return httpx.get(address, trust_env=False, timeout=60).status_code == 200
    except httpx.HTTPError:
        return False
