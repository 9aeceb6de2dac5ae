"""What the docs mark as `<!-- runs live -->` runs as it stands there, on real servers: only addresses and ports are others."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickstream.io.sample import SampleOptions, sample_records

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^<!-- runs live(, beside)? -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE_SECONDS = 600

pytestmark = pytest.mark.timeout(1800)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reader:
    """Somebody who follows the tutorial with servers of his own."""

    def __init__(self, kafka, mysql, elasticsearch, prism: str, folder: Path) -> None:
        self.mysql, self.folder, self.database = mysql, folder, mysql.create_database()
        self.port = free_port()
        self._instead = {
            "localhost:9092": kafka.address,
            "--topic=clicks": f"--topic={self.database}",
            "mysql://app@localhost:3306/clickstream": mysql.url(self.database),
            # A live job's rows go to an index of the test's own.
            "--elasticsearch=http://localhost:9200": f"--elasticsearch={elasticsearch.address} --elasticsearch_index={self.database}",
            "http://localhost:9200": elasticsearch.address,
            "localhost:8080": f"localhost:{self.port}",
            "--health_port=8080": f"--health_port={self.port}",
        }
        path = os.pathsep.join((str(Path(prism).parent), str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = os.environ | {"MYSQL_PASSWORD": mysql.password, "PATH": path, "POLARS_MAX_THREADS": "1"}
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "said").touch()
        script = folder / "run_local.sh"
        script.write_text('#!/bin/sh\nexec .venv/bin/python -m clickstream.pipeline "$@"\n')
        script.chmod(0o755)

    def with_logs(self) -> None:
        records = [r for batch in sample_records(SampleOptions(seed=5, events=2000, broken_share=0.05)) for r in batch]
        (self.folder / "logs").mkdir()
        (self.folder / "logs/clicks.ndjson").write_bytes(b"\n".join(records) + b"\n")

    def keep_usual_index(self) -> None:
        """The one that the bulk file names."""
        self._instead = {ours: theirs for ours, theirs in self._instead.items() if "_index" not in theirs}

    def with_addresses(self, text: str) -> str:
        for ours, theirs in self._instead.items():
            text = text.replace(ours, theirs)
        return text

    @contextlib.contextmanager
    def beside(self, text: str) -> Iterator[subprocess.Popen]:
        """A terminal of its own, in which the command goes on; Ctrl-C at the end."""
        with (self.folder / "said").open("ab") as said:
            command = ["bash", "-c", f"exec {self.with_addresses(text)}"]
            started = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=said, stderr=said, start_new_session=True
            )
        try:
            yield started
            os.killpg(started.pid, signal.SIGINT)
            assert started.wait(180) == 0, self.said
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def run(self, text: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", self.with_addresses(text)]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.said
        return done.stdout

    def ask(self, statement: str) -> tuple:
        with self.mysql.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def wait_for_windows(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # no table yet
                if self.ask("SELECT COUNT(DISTINCT window_start) FROM page_metrics")[0][0] >= count:
                    return
            time.sleep(1)
        pytest.fail(f"no window was written: {self.said}")


def live_blocks(page: str) -> list[tuple[str, str, str]]:
    """Whether it goes on beside the others, its language, and its text."""
    text = (DOCS / page).read_text()
    found = BLOCK.findall(text)
    assert len(found) == text.count("<!-- runs live")
    return found


@pytest.fixture
def reader(kafka, mysql, elasticsearch, prism, tmp_path) -> Reader:
    """At the beginning of a page."""
    return Reader(kafka, mysql, elasticsearch, prism, tmp_path)


def test_no_page_is_left_out() -> None:
    marked = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if "<!-- runs live" in page.read_text()}
    assert marked == {"tutorial.md", "how-to/elasticsearch.md"}


def test_the_bulk_file_is_sent_later(reader) -> None:
    reader.with_logs()
    reader.keep_usual_index()
    [(_, _, text)] = live_blocks("how-to/elasticsearch.md")
    assert reader.run(text).endswith('{"errors":false}')


def test_the_tutorial(reader) -> None:
    found = live_blocks("tutorial.md")
    feed, job = (text for beside, _, text in found if beside)
    queries, curl = (text for beside, language, text in found if not beside and language == "sh")
    [statements] = (text for _, language, text in found if language == "sql")
    with reader.beside(feed), reader.beside(job):
        reader.wait_for_windows(3)
        counted = [int(text.replace(",", "")) for text in re.findall(r"^clicks +([\d,]+)", reader.run(queries), re.M)]
        assert len(counted) == 2
        assert min(counted) > 100
        *answers, reasons, hours = (reader.ask(statement) for statement in statements.split(";") if statement.strip())
        assert all(answer[0][0] > 0 for answer in answers)
        assert {"invalid_json", "missing_field"} <= {reason for reason, _ in reasons}
        assert hours[0][1] > 0
        assert reader.run(curl) == "ok\n"
    assert "Stopped. What wasn't written yet is read again next time." in reader.said
