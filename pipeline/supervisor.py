"""Keeps a live job running: a process of its own for each attempt, restarted with growing pauses while it makes progress.

Imports nothing heavy: it must outlive whatever a job does.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

FAILED_WHILE_RUNNING = 3
USER_ERROR = 2
DEFAULT_RESTARTS = 10
_PROGRESS = "CLICKSTREAM_PROGRESS_FILE"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_STOP_SECONDS = 13.0


def note_progress(written: int) -> None:
    """Called by the job: so many rows are in the sinks. Does nothing if nobody supervises."""
    path = os.environ.get(_PROGRESS)
    if path:
        Path(path).write_text(str(written), encoding="utf-8")


def supervise(
    command: Sequence[str],
    *,
    on_restart: Sequence[str] = (),
    max_restarts: int,
    say: Callable[[str], None] | None = None,
) -> int:
    """Runs a command until it ends well, is stopped by a signal, is a user's mistake, or fails too often without progress.

    Args:
        command: What to run, in a process group of its own: nothing of it is left when this returns.
        on_restart: Further arguments of every attempt but the first.
        max_restarts: So many restarts in a row without a row written, then it gives up.
        say: Takes one line on each restart; standard error by default.

    Returns:
        The exit status: 0 if it ended well or was stopped, 2 for a user's mistake found before the start, 1 if it was given up.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _setter(stop))
    failures, first = 0, command
    with tempfile.TemporaryDirectory(prefix="clickstream-") as folder:
        progress = Path(folder, "progress")
        while True:
            progress.write_text("0", encoding="utf-8")
            status = _attempt(command, progress, stop)
            command = [*first, *on_restart]
            if stop.is_set() or status in (0, USER_ERROR):
                return 0 if stop.is_set() else status
            failures = 0 if progress.read_text(encoding="utf-8") not in ("", "0") else failures + 1
            if failures > max_restarts:
                say(f"Given up after {max_restarts} restarts without progress (--max_restarts).")
                return 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** max(0, failures - 1)) * random.uniform(0.5, 1)  # noqa: S311
            say(f"The job ended (exit status {status}); it restarts in {pause:.1f} s from the committed offsets.")
            if stop.wait(pause):
                return 0


def _setter(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    return lambda _signal, _frame: stop.set()


def _attempt(command: Sequence[str], progress: Path, stop: threading.Event) -> int:
    process = subprocess.Popen(  # noqa: S603 (our own command line)
        list(command), env=os.environ | {_PROGRESS: str(progress)}, start_new_session=True
    )
    try:
        while process.poll() is None:
            if stop.wait(0.1):
                _end(process)
    finally:
        _kill_group(process)
    return int(process.wait())


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Asks the job to stop, and waits."""
    process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends what the job leaves behind, such as its runner."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
