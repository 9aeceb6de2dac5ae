"""The page beside a live job: a process of its own, which ends with it and can't disturb it. Imports nothing heavy."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from clickstream.pipeline.argv import given, value_of, without

_PARENT = "CLICKSTREAM_PAGE_OF"
_END_SECONDS = 5.0
_POLL_SECONDS = 0.5


@contextmanager
def page_beside(argv: Sequence[str]) -> Iterator[list[str]]:
    """Runs the page for a job with these options, if they ask for one, until the block is done; gives the job's options.

    The job serves its health on a port that is chosen here, unless it is told one: it stays the same when the job is started again.
    """
    if "page" not in given(argv):
        yield list(argv)
        return
    port, others = _health_port(argv)
    command = [sys.executable, "-m", "clickstream.pipeline", "page", *others, f"--health=http://127.0.0.1:{port}"]
    environment = os.environ | {_PARENT: str(os.getpid())}
    process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603 (our own command line)
    try:
        yield [*others, f"--health_port={port}"]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        process.kill()
        process.wait()


def belongs_to_job() -> bool:
    """Whether this process shows the page beside a job, with that job's options."""
    return _PARENT in os.environ


def end_with_parent(stop: threading.Event) -> None:
    """In the page's process: sets `stop` when the job that it belongs to has gone, however that ended."""
    parent = os.environ.get(_PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent) and not stop.wait(_POLL_SECONDS):
            pass
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _health_port(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The port of the job's health, the one that is given or a free one, and the other options."""
    port = value_of(argv, "health_port")
    return (port if port not in ("", "0") else str(_free_port())), without(argv, "health_port")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
