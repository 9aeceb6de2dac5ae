"""A live job under a steady feed: lag, memory and CPU, a line a minute.

usage: python -m tests.services up kafka mariadb elasticsearch   # prints the addresses
       MYSQL_PASSWORD=... python benchmarks/soak.py --bootstrap_servers=HOST:PORT [--rate=50000] [--minutes=10] [THE LIVE JOB'S OPTIONS]

Feeds a topic of its own with `generate --rate`, and runs the live job over it on Prism as on a terminal: what its status line says is the source of
rate and lag. Lag in seconds is the records behind the end by the rate. Memory and CPU are told by process: the feed's isn't counted.
"""

import argparse
import contextlib
import os
import pty
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from measuring import machine

_JOB = [sys.executable, "-m", "clickstream.pipeline"]
_STATUS = re.compile(r"([\d,]+) events/s \| lag (.*?) \| watermark (.*?) \| rows written ([\d,]+)")
_TICK = os.sysconf("SC_CLK_TCK")


class Look(NamedTuple):
    """What the status line said: events a second, records behind, and rows written since the start."""

    rate: int
    behind: int
    rows: int


class Screen(threading.Thread):
    """Reads what the job writes to its terminal, and keeps what was seen since the last look."""

    def __init__(self, terminal: int) -> None:
        super().__init__(daemon=True)
        self._terminal, self._text, self._looks = terminal, "", list[Look]()

    def run(self) -> None:
        """Reads to the job's end."""
        with contextlib.suppress(OSError):
            while block := os.read(self._terminal, 4096):
                self._text += block.decode(errors="replace")
                *lines, self._text = self._text.split("\r")
                for found in map(_STATUS.search, lines):
                    if found:
                        rate, behind, _, rows = found.groups()
                        lag = sum(int(part.partition(":")[2]) for part in behind.split() if ":" in part)
                        self._looks.append(Look(_number(rate), lag, _number(rows)))

    def taken(self) -> list[Look]:
        """The looks since the last call."""
        looks, self._looks = self._looks, []
        return looks


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def family(root: int) -> dict[str, tuple[float, float]]:
    """MiB of memory and CPU-seconds of a process and all its descendants, added up by name."""
    parents, found = {}, dict[str, tuple[float, float]]()
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit():
                name, _, rest = (place / "stat").read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
                parents[int(place.name)] = (int(fields[1]), name, int(fields[21]), int(fields[11]) + int(fields[12]))
    for pid, (_, name, pages, ticks) in parents.items():
        above = pid
        while above not in (root, 0) and above in parents:
            above = parents[above][0]
        if above == root:
            memory, cpu = found.get(name, (0.0, 0.0))
            found[name] = (memory + pages * os.sysconf("SC_PAGE_SIZE") / 2**20, cpu + ticks / _TICK)
    return found


def main() -> None:
    """Feeds, runs, prints; stops both at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap_servers", required=True)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--minutes", type=int, default=10)
    options, job_options = parser.parse_known_args()
    topic = f"soak-{secrets.token_hex(4)}"
    source = [f"--bootstrap_servers={options.bootstrap_servers}", f"--topic={topic}"]
    feed = subprocess.Popen([*_JOB, "generate", *source, "--create_topic", f"--rate={options.rate}"])
    time.sleep(5)
    ours, its = pty.openpty()
    job = subprocess.Popen([*_JOB, *source, f"--group_id={topic}", *job_options], stderr=its, stdout=its)
    screen = Screen(ours)
    screen.start()
    print(f"{machine()}, {options.rate:,} events/s\n")
    print(
        "| minute | events/s | lag, s: median | largest | rows written | memory, MiB | CPU-s |\n|---|---|---|---|---|---|---|"
    )
    try:
        for minute in range(1, options.minutes + 1):
            time.sleep(60)
            print(row(minute, screen.taken(), options.rate, family(job.pid)), flush=True)
    finally:
        for process in (job, feed):
            process.send_signal(signal.SIGINT)
            process.wait(60)


def row(minute: int, looks: list[Look], rate: int, processes: dict[str, tuple[float, float]]) -> str:
    """A minute: the job's first seconds, before it reads, are in the first."""
    lags = sorted(look.behind / rate for look in looks)
    read = sum(look.rate for look in looks) / max(len(looks), 1)
    memory = ", ".join(f"{name} {memory:.0f}" for name, (memory, _) in sorted(processes.items()))
    cpu = ", ".join(f"{name} {cpu:.0f}" for name, (_, cpu) in sorted(processes.items()))
    lag = f"{lags[len(lags) // 2]:.1f} | {lags[-1]:.1f}" if lags else "- | -"
    return f"| {minute} | {read:,.0f} | {lag} | {looks[-1].rows if looks else 0:,} | {memory} | {cpu} |"


if __name__ == "__main__":
    main()
