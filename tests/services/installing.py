"""Programs in the cache: put there once, whole or not at all, by one process at a time."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services.errors import ServiceError
from tests.services.places import cache_folder

PIP_INSTALL = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the cache's lock of that name, against other threads and other processes."""
    with (cache_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def installed(name: str, build: Callable[[Path], None]) -> Path:
    """The cache's folder of that name; filled by `build` if it isn't there.

    `build` works in a folder beside it, renamed at the end: an interrupted installation is never taken for a whole one.
    """
    target = cache_folder() / name
    if target.is_dir():
        return target
    with locked(name):
        if not target.is_dir():
            print(f"Installing {name} into {target} (once) ...", file=sys.stderr, flush=True)
            part = target.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            build(part)
            run(["chmod", "-R", "a+rX", part], "opening the installed files to the servers' account")
            part.rename(target)
    return target


def run(command: Sequence[str | Path], purpose: str, *, cwd: Path | None = None, given: str | None = None) -> str:
    """The command's output.

    Raises:
        ServiceError: It failed: what for, which command, and the end of what it said.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-20:])
        message = f"{purpose} failed (exit status {done.returncode} of {command[0]}):\n{said}"
        raise ServiceError(message)
    return done.stdout
