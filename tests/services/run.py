"""One run of the harness: its temporary folder, its ports, and the keeper that cleans up whatever way the run ends."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.services import keeper
from tests.services.errors import ServiceError
from tests.services.places import new_run_folder, reserve_port


class Run:
    """A temporary folder for servers. With `close()`, or when this process dies, they end and the folder goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reservations: list[socket.socket] = []
        self.folder = new_run_folder()
        command = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), str(self.folder)]
        # A session of its own: Ctrl-C in the terminal doesn't reach it. No output: it must not hold a pipe open.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/", **quiet)

    def new_folder(self, name: str) -> Path:
        """An empty folder of that name in the run's folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def free_ports(self, count: int) -> list[int]:
        """So many ports of 127.0.0.1 on which nobody listens, this run's own until it ends."""
        reserved = [reserve_port() for _ in range(count)]
        self._reservations += [reservation for _, reservation in reserved]
        return [port for port, _ in reserved]

    def guard(self, pid: int) -> None:
        """From now on the process group of this leader ends with the run.

        Raises:
            ServiceError: The run is over.
        """
        self._tell(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """That group is gone already."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Ends what is left running, and removes the folder."""
        with self._lock:
            self._keeper.stdin.close()
        self._keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        for reservation in self._reservations:
            reservation.close()

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._keeper.stdin.closed:
                message = "The run is over: no server is started any more."
                raise ServiceError(message)
            self._keeper.stdin.write(line.encode())
            self._keeper.stdin.flush()
