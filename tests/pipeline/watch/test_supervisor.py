"""The supervisor, on real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from clickstream.pipeline.watch.supervisor import supervise
sys.exit(supervise([sys.executable, "-c", sys.argv[1]], max_restarts=int(sys.argv[2])))
"""


def supervise(job: str, restarts: int = 0, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, job, str(restarts)], stderr=subprocess.PIPE, text=True, **kwargs
    )


@pytest.mark.parametrize("status", [0, 2])
def test_a_good_end_and_a_users_mistake_are_final(status) -> None:
    process = supervise(f"import sys; sys.exit({status})", restarts=5)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, "")


def test_it_restarts_and_gives_up_without_progress() -> None:
    process = supervise("import sys; sys.exit(3)", restarts=1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("it restarts in") == 1
    assert "Given up after 1 restarts without progress (--max_restarts)." in said


def test_progress_resets_the_count(tmp_path) -> None:
    runs = tmp_path / "runs"
    job = f"""
import sys
from pathlib import Path
from clickstream.pipeline.watch.job_status import note_status
runs = Path({str(runs)!r})
done = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (done + 1))
note_status(dict(rows_written=1))
sys.exit(0 if done == 2 else 3)
"""
    process = supervise(job, restarts=0)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.count("it restarts in")) == (0, 2)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_job_in_order(tmp_path, name) -> None:
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    job = f"""
import signal, time
from pathlib import Path
def end(*_):
    Path({str(ended)!r}).touch()
    raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
Path({str(ready)!r}).touch()
time.sleep(60)
"""
    process = supervise(job)
    wait_for(ready)
    process.send_signal(name)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert ended.exists()
    assert "restarts" not in said


def test_nothing_of_a_job_is_left(tmp_path) -> None:
    pid = tmp_path / "pid"
    job = f"""
import subprocess, sys
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path({str(pid)!r}).write_text(str(child.pid))
sys.exit(2)
"""
    process = supervise(job)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline, "the job's child is still there"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """An orphan's zombie counts as gone."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(path: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} didn't appear"
        time.sleep(0.05)


def test_what_was_no_mistake_at_first_is_an_outage(tmp_path) -> None:
    """A store that is away when the job is started again: its check of the options fails with the status of a mistake."""
    runs = tmp_path / "runs"
    job = f"""
import sys
from pathlib import Path
runs = Path({str(runs)!r})
done = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (done + 1))
sys.exit([3, 2, 0][done])
"""
    process = supervise(job, restarts=5)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.count("it restarts in")) == (0, 2)


TELLS = """
from clickstream.pipeline.watch.job_status import note_end, note_status
import pathlib, os
status = pathlib.Path(os.environ["CLICKSTREAM_STATUS_FILE"])
{before}
for _ in range(3):
    note_status({{"state": "running", "rows_written": 1}})
note_end("over")
"""


@pytest.mark.parametrize(
    "before",
    [
        'pathlib.Path(f"{status}.new").symlink_to("/dev/full")',  # the system's own answer of a full disk
        "status.parent.rmdir()",
    ],
)
def test_a_status_that_can_not_be_written_is_told_once_and_stops_nothing(before) -> None:
    process = supervise(TELLS.format(before=before), restarts=0)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.count("\n") == 1
    assert "status can't be written" in said
    assert "make room there" in said


def test_a_job_runs_where_no_folder_can_be_made(tmp_path) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    # Python looks for another folder if TMPDIR can't be used: a full disk is one where it was found, and fails then.
    begun = f"import tempfile; tempfile.tempdir = {str(no_folder)!r}\n" + SCRIPT
    process = subprocess.Popen(
        [sys.executable, "-c", begun, TELLS.format(before=""), "0"], stderr=subprocess.PIPE, text=True
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.count("status can't be written") == 2  # by the supervisor, and by the job
