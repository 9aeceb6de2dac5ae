"""One run of the harness: its temporary folder, and the keeper that cleans up whatever way the run ends."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from tests.services import keeper
from tests.services.places import new_run_folder


class Run:
    """A temporary folder for servers; with `close()`, or when this process dies, what is left running ends and the folder goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.folder = new_run_folder()
        command = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), str(self.folder)]
        # A session of its own: Ctrl-C in the terminal doesn't reach it.
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/")

    def new_folder(self, name: str) -> Path:
        """An empty folder of that name in the run's folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def guard(self, pid: int) -> None:
        """From now on the process group of this leader ends with the run."""
        self._tell(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """That group is gone already."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Ends what is left running, and removes the folder."""
        if self._keeper.stdin:
            self._keeper.stdin.close()
        self._keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, line: str) -> None:
        with self._lock:
            self._keeper.stdin.write(line.encode())
            self._keeper.stdin.flush()
