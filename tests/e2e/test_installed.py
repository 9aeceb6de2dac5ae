"""The built wheel in an environment of its own, as a stranger has it after `pip install`: the command works from any folder."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}

pytestmark = pytest.mark.timeout(900)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, as the build leaves its folders beside setup.py."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={built}", source]
    subprocess.run(command, cwd=built, capture_output=True, check=True)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def clickstream(wheel, tmp_path_factory) -> str:
    """The installed command. What it requires stands in the tests' environment, whose own link to the checkout isn't followed."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin/python"
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    scheme = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, scheme))
    (packages / "required.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(home / "bin/clickstream")


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    """Any folder: not the checkout, which would be importable there."""
    assert not tmp_path.is_relative_to(ROOT)
    return tmp_path


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_modules_are_the_wheels_own(clickstream, folder) -> None:
    python = str(Path(clickstream).with_name("python"))
    found = run(python, "-c", "import clickstream.pipeline as p; print(p.__file__)", cwd=folder).strip()
    assert Path(found).is_relative_to(Path(clickstream).parents[1])


def test_it_says_its_version_at_once(clickstream, folder) -> None:
    wanted = re.search(r'version="(.*?)"', (ROOT / "setup.py").read_text())[1]
    assert run(clickstream, "--version", cwd=folder) == f"clickstream-beam {wanted}\n"


def test_help_names_the_command_as_it_is_called(clickstream, folder) -> None:
    assert run(clickstream, "--help", cwd=folder).startswith("usage: clickstream [")
    assert run(clickstream, "query", "--help", cwd=folder).startswith("usage: clickstream query [")


def test_the_sample_job_runs_and_its_page_shows_it(clickstream, folder) -> None:
    printed = run(clickstream, cwd=folder)
    accepted = re.search(r"read 500,000 = accepted ([0-9,]+) \+", printed)[1]
    assert "  your own log:   clickstream --input=" in printed
    with sqlite3.connect(folder / "out/clickstream.db") as database:
        assert database.execute("SELECT SUM(clicks) FROM page_metrics").fetchone() == (int(accepted.replace(",", "")),)
    assert "<svg" in (folder / "out/report.html").read_text()
    command = [clickstream, "page", "--page_port=0"]
    page = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        address = re.match(r"Page: (http\S+)", page.stderr.readline())[1]
        with urllib.request.urlopen(f"{address}?range=free&from=2025-01-01&to=2027-01-01", timeout=60) as answer:  # noqa: S310
            assert accepted in answer.read().decode()
        with urllib.request.urlopen(f"{address}static/style.css", timeout=60) as answer:  # noqa: S310
            assert answer.status == 200
    finally:
        page.send_signal(signal.SIGTERM)
        assert page.wait(120) == 0
        page.stderr.close()


def test_a_log_of_ones_own_is_read_and_asked(clickstream, folder) -> None:
    run(clickstream, "generate", "--output=clicks.ndjson", "--events=2000", cwd=folder)
    printed = run(clickstream, "--input=clicks.ndjson", "--output_dir=results", cwd=folder)
    accepted = int(re.search(r"read 2,000 = accepted ([0-9,]+) \+", printed)[1].replace(",", ""))
    answer = json.loads(run(clickstream, "query", "--output_dir=results", "--format=json", cwd=folder))
    assert answer["clicks"] == accepted > 1900
