"""What a command costs, with its helpers: shared by the benchmarks."""

import os
import platform
import resource
import subprocess
import sys
import time
from typing import NamedTuple


class Cost(NamedTuple):
    """What one process took: CPU and wall seconds, and the peak of its memory in MiB."""

    cpu: float
    wall: float
    memory: float


def measure(arguments: list[str], folder: str) -> Cost:
    """Runs a command, with its helpers, to its end. Compiled sources may be kept, or each process would spend two seconds on Beam's."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    settings = {"POLARS_MAX_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd=folder, env=os.environ | settings)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed")
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, usage.ru_maxrss / 1024)


def machine() -> str:
    """The line above a table: where and when it was measured."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
