"""A process that outlives the run by a moment: stops the servers that the run left behind, and removes its folder.

It reads `+PID` and `-PID` (leaders of process groups) from standard input; the run is over when that ends, or when its
own parent is another. Runs as a script: `keeper.py PID_OF_THE_RUN FOLDER`. Standard library only.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time

GRACE_SECONDS = 15.0


def watch(run: int) -> set[int]:
    """Reads until the run is over: what it has left."""
    left: set[int] = set()
    pending = b""
    while os.getppid() == run:
        if not select.select([0], [], [], 1.0)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            break
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            (left.add if line[:1] == b"+" else left.discard)(int(line[1:]))
    return left


def signal_group(group: int, number: int) -> None:
    """Sends a signal to a process group, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def running(group: int) -> bool:
    """Whether a process of the group runs; a dead one that nobody has waited for yet doesn't.

    A process whose first thread is dead still runs while it has others: it keeps its ports until the last one ends.
    """
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
            state, its_group, threads = fields[0], int(fields[2]), int(fields[17])
            if its_group == group and (state not in "ZX" or threads > 1):
                return True
    return False


def end(groups: set[int]) -> None:
    """TERM to each group, KILL to those that stay."""
    for group in groups:
        signal_group(group, signal.SIGTERM)
    patience = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < patience and any(map(running, groups)):
        time.sleep(0.1)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def main() -> None:
    run, folder = int(sys.argv[1]), sys.argv[2]
    with contextlib.suppress(KeyboardInterrupt):
        end(watch(run))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
