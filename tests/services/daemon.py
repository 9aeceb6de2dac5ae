"""A server's process: started until it answers, stopped until nothing of it is left."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.services import keeper
from tests.services.errors import ServiceError
from tests.services.places import NOBODY, is_root
from tests.services.run import Run

LOG_TAIL_LINES = 30


@dataclass
class Daemon:
    """One server on this machine.

    Attributes:
        name: For messages.
        command: Runs in the foreground.
        folder: Its working folder, that it owns; its output goes to `FOLDER/NAME.log`.
        ready: Whether it serves, told from its output since the start.
        run: The run with which it ends at the latest.
        environment: Its variables, beside PATH, HOME and TMPDIR: it doesn't inherit those of this process.
        own_account: Root's servers run under another account; a process of the project's own doesn't.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path
    ready: Callable[[str], bool]
    run: Run
    environment: Mapping[str, str] = field(default_factory=dict)
    own_account: bool = True
    start_seconds: float = 300.0  # on a machine that is busy with the other tests
    stop_seconds: float = 40.0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Returns when the server answers.

        Raises:
            ServiceError: It ended or didn't answer in time; the end of its log. Nothing of it is left running then.
        """
        if self.process and self.process.poll() is None:
            return
        self.stop()  # where it ended of itself, what it left
        begin = self.log.stat().st_size if self.log.exists() else 0
        self._spawn()
        deadline = time.monotonic() + self.start_seconds
        while not self.ready(self._said(begin)):
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                tail = "\n".join(self._said(begin).splitlines()[-LOG_TAIL_LINES:])
                cause = "ended while starting" if ended else f"didn't answer within {self.start_seconds:.0f} s"
                message = f"{self.name} {cause}. The end of its log:\n{tail}"
                raise ServiceError(message)
            time.sleep(0.1)

    def stop(self) -> None:
        """TERM, and KILL to what is still there after a while."""
        if self.process:
            self.process.terminate()
            self._await_end()

    def kill(self) -> None:
        """KILL at once, as a crash would."""
        if self.process:
            keeper.signal_group(self.process.pid, signal.SIGKILL)
            self._await_end()

    def _spawn(self) -> None:
        account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if is_root() and self.own_account else {}
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "LC_ALL": "C.UTF-8",
            **self.environment,
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account,
            )
        try:
            self.run.guard(self.process.pid)
        except ServiceError:
            self.kill()
            raise

    def _await_end(self) -> None:
        process, self.process = self.process, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.stop_seconds)
        keeper.signal_group(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + self.stop_seconds
        while keeper.running(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)  # the leader's children
        with contextlib.suppress(ServiceError):  # the run is over: nobody keeps watch
            self.run.release(process.pid)

    def _said(self, begin: int) -> str:
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")
