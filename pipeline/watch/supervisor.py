"""Keeps a live job running: a process of its own for each attempt, restarted with growing pauses while it makes progress.

Imports nothing heavy: it must outlive whatever a job does.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from clickstream.pipeline.watch.job_status import JobStatus, untold

FAILED_WHILE_RUNNING = 3
USER_ERROR = 2
DEFAULT_RESTARTS = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
STOP_SECONDS = 13.0


def supervise(
    command: Sequence[str],
    *,
    on_restart: Sequence[str] = (),
    max_restarts: int,
    watched: Callable[[JobStatus], AbstractContextManager[object]] = nullcontext,
    say: Callable[[str], None] | None = None,
    stop_seconds: float = STOP_SECONDS,
) -> int:
    """Runs a command until it ends well, is stopped by a signal, is a user's mistake, or fails too often without progress.

    Args:
        command: What to run, in a process group of its own: nothing of it is left when this returns.
        on_restart: Further arguments of every attempt but the first.
        max_restarts: So many restarts in a row without a row written, then it gives up.
        watched: Told of the job's status while it is supervised.
        say: Takes one line on each restart; standard error by default.
        stop_seconds: How long it may take to end in order when it's told to.

    Returns:
        The exit status: 0 if it ended well or was stopped, 2 for a user's mistake found before the first start, 1 if it was given up.
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _setter(stop))
    failures, first = 0, command
    with ExitStack() as stack:
        job = JobStatus(Path(stack.enter_context(_status_folder(say)), "status.json"))
        stack.enter_context(watched(job))
        while True:
            with _own_tmpdir() as tmpdir:
                status = _attempt(command, job.begin() | tmpdir, stop, stop_seconds)
            # What is no mistake at the first start is none at the next: a store that is away for longer than its sink has patience, say.
            if stop.is_set() or status == 0 or (status == USER_ERROR and command is first):
                return 0 if stop.is_set() else status
            command = [*first, *on_restart]
            failures = 0 if job.ended(status) else failures + 1
            if failures > max_restarts:
                say(f"Given up after {max_restarts} restarts without progress (--max_restarts).")
                return 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** max(0, failures - 1)) * random.uniform(0.5, 1)  # noqa: S311
            say(f"The job ended (exit status {status}); it restarts in {pause:.1f} s from the committed offsets.")
            if stop.wait(pause):
                return 0


@contextmanager
def _status_folder(say: Callable[[str], None]) -> Iterator[str]:
    """A folder for the job's status, until the block is done. Where none can be made, that is said: there is no status."""
    try:
        folder = tempfile.mkdtemp(prefix="clickstream-")
    except OSError as error:
        missing = Path(os.environ.get("TMPDIR") or "/tmp", "clickstream-status")  # noqa: S108 (it isn't there)
        say(untold(missing / "status.json", error))
        yield str(missing)
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_tmpdir() -> Iterator[dict[str, str]]:
    """The environment by which an attempt gets a folder for what it and its runner leave behind, however they end; none where it can't be made."""
    try:
        own = tempfile.mkdtemp(prefix="clickstream-")
    except OSError:
        yield {}
        return
    try:
        yield {"TMPDIR": own}
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _setter(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    return lambda _signal, _frame: stop.set()


def _attempt(command: Sequence[str], environment: dict[str, str], stop: threading.Event, stop_seconds: float) -> int:
    process = subprocess.Popen(  # noqa: S603 (our own command line)
        list(command), env=os.environ | environment, start_new_session=True
    )
    try:
        while process.poll() is None:
            if stop.wait(0.1):
                _end(process, stop_seconds)
    finally:
        _kill_group(process)
    return int(process.wait())


def _end(process: "subprocess.Popen[bytes]", stop_seconds: float) -> None:
    """Asks the job to stop, and waits."""
    process.terminate()
    deadline = time.monotonic() + stop_seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends what the job leaves behind, such as its runner."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
