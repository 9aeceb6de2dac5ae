"""What the docs mark as `<!-- runs -->` runs as it stands there, page by page, in a folder that looks like a checkout."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickstream.io.kafka import load_kafka_config
from clickstream.io.sample import SampleOptions, sample_records

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- runs -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted(
    str(path.relative_to(ROOT / "docs"))
    for path in (ROOT / "docs").rglob("*.md")
    if "<!-- runs -->" in path.read_text()
)
SCRIPT = '#!/bin/sh\nPOLARS_MAX_THREADS=1 exec .venv/bin/python -m clickstream.pipeline {command}"$@"\n'


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each."""
    found = BLOCK.findall(page.read_text())
    assert len(found) == page.read_text().count("<!-- runs -->"), (
        "a mark stands before something else than a code block"
    )
    return found


@pytest.fixture
def checkout(tmp_path) -> Path:
    """With what the first run would install, a sample log in logs/, and the same packed."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name, command in (("run_local.sh", ""), ("run_flink.sh", "flink ")):
        (tmp_path / name).write_text(SCRIPT.format(command=command))
        (tmp_path / name).chmod(0o755)
    records = [r for batch in sample_records(SampleOptions(seed=5, events=2000, broken_share=0.05)) for r in batch]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/clicks.ndjson").write_bytes(b"\n".join(records) + b"\n")
    subprocess.run(["gzip", "--keep", "logs/clicks.ndjson"], cwd=tmp_path, check=True)
    return tmp_path


def outputs(page: Path, folder: Path) -> Iterator[str]:
    """Runs the page's blocks one after the other."""
    for language, text in blocks(page):
        command = {"sh": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[language]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ
            | {"LC_ALL": "C.UTF-8", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        yield done.stdout


def clicks_and_reasons(printed: list[str]) -> None:
    """Rows as dicts, and why records were rejected."""
    lines = printed[0].splitlines()
    rows = [line for line in lines if line.startswith("{'window_start'")]
    assert sum(int(re.search(r"'clicks': (\d+)", row)[1]) for row in rows) > 1800
    assert "invalid_json" in lines


def counted_by_replay(printed: list[str]) -> None:
    """What was rejected as too old."""
    said = re.search(r"Dead letters now accepted and counted: ([\d,]+)", printed[0])
    assert int(said[1].replace(",", "")) > 1800


CHECKS = {"how-to/own-pipeline.md": clicks_and_reasons, "how-to/dead-letters.md": counted_by_replay}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_marks_runs(page, checkout) -> None:
    printed = list(outputs(ROOT / "docs" / page, checkout))
    assert all(printed)
    CHECKS.get(page, lambda _: None)(printed)


def test_pages_with_a_check_run() -> None:
    assert set(CHECKS) <= set(PAGES)


def test_the_settings_for_kafka_are_taken(tmp_path) -> None:
    page = (ROOT / "docs/how-to/kafka.md").read_text()
    (tmp_path / "kafka.properties").write_text(re.search(r"```properties\n(.*?)```", page, re.DOTALL)[1])
    settings = load_kafka_config(str(tmp_path / "kafka.properties"))
    assert settings["sasl.password"] == "env:KAFKA_PASSWORD"
