"""What is known of a supervised job, also while it is down: its own last word, and what its supervisor saw.

The job tells it once a second through a file that the supervisor names. Imports nothing heavy.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_FILE = "CLICKSTREAM_STATUS_FILE"
_SILENT_SECONDS = 30.0
_QUIET_SECONDS = 60.0  # for so long nothing was there to be written after a restart: then all is well
_TOLD: set[str] = set()  # the files that couldn't be written at the last attempt
_NOTHING: dict[str, Any] = {
    "events_per_second": 0.0,
    "lag": 0,
    "lag_by_partition": {},
    "watermark_ms": None,
    "windows_written": 0,
    "rows_written": 0,
    "rejected": 0,
    "too_late": 0,
    "not_clicks": 0,
    "sink_retries": 0,
    "last_error": None,
    "last_error_at_ms": None,
}


def is_supervised() -> bool:
    """Whether this process is one attempt of a supervised job, and nothing else."""
    return _FILE in os.environ


def note_status(report: Mapping[str, Any]) -> None:
    """Called by the job: how it is doing. Does nothing if nobody supervises.

    It's a nicety: where it can't be written, as on a full disk, that is said once, and the job goes on.
    """
    path = os.environ.get(_FILE)
    if not path:
        return
    new = Path(f"{path}.new")
    try:
        new.write_text(json.dumps(report), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        if path not in _TOLD:
            _TOLD.add(path)
            print(untold(Path(path), error), file=sys.stderr, flush=True)
    else:
        _TOLD.discard(path)


def untold(path: Path, error: OSError) -> str:
    """What is said where the status can't be kept."""
    why = error.strerror or str(error)
    return (
        f"The job's status can't be written to {path.parent} ({why}): /healthz and /status.json will take it for silent. "
        "The job goes on; make room there, or name another folder by TMPDIR."
    )


def note_end(error: str) -> None:
    """Called by the job as its last word: why it ends."""
    path = os.environ.get(_FILE)
    if path:
        error_at = {"last_error": error, "last_error_at_ms": _now_ms()}
        note_status({**_read(Path(path)), **error_at, "ended_by": error})


class JobStatus:
    """One supervised job, attempt by attempt. May be asked from any thread.

    Args:
        path: The file, in a folder of the supervisor's own.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._before: dict[str, Any] = dict(_NOTHING)  # where earlier attempts left it
        self._began_ms, self._restarts, self._down = _now_ms(), 0, ""

    def begin(self) -> dict[str, str]:
        """A new attempt begins. Returns the environment by which it finds the file."""
        with self._lock:
            self._began_ms = _now_ms()
            _remove(self._path)
        return {_FILE: str(self._path)}

    def ended(self, status: int) -> bool:
        """An attempt has ended with this exit status. Returns whether it wrote any rows."""
        with self._lock:
            own = _read(self._path)
            why = own.pop("ended_by", None) or f"The job ended with exit status {status}."
            self._before |= own
            self._before |= {"last_error": why, "last_error_at_ms": _now_ms(), "events_per_second": 0.0}
            _remove(self._path)
            self._restarts += 1
            self._down = why
        return bool(own.get("rows_written"))

    @staticmethod
    def _unproven(told: Mapping[str, Any], seconds: float, down: str) -> dict[str, Any]:
        """What failed may fail again: after a restart the job isn't well before it has written something, if there is anything to write."""
        written = told.get("rows_written") or (seconds > _QUIET_SECONDS and not told.get("accepted"))
        if not down or written or told["state"] != "ok":
            return {}
        return {
            "state": "restarting",
            "reason": f"Started again, and nothing is written yet. It had ended because: {down}",
        }

    def report(self) -> dict[str, Any]:
        """The job's last word if it is fresh; else what was known, and why it isn't: `starting`, `restarting` or `silent`."""
        with self._lock:
            own, before, restarts, down = _read(self._path), self._before, self._restarts, self._down
            began_ms = self._began_ms
        now = _now_ms()
        told = own if "state" in own else {}
        found = {**before, **told, "restarts": restarts}
        if told.get("last_error") is None:
            found |= {name: before[name] for name in ("last_error", "last_error_at_ms")}
        silent = (now - told.get("at_ms", began_ms)) / 1000
        if told and silent <= _SILENT_SECONDS:
            return found | self._unproven(told, (now - began_ms) / 1000, down)
        found |= {"events_per_second": 0.0, "at_ms": now}
        if told:
            return found | {"state": "silent", "reason": f"The job has not said anything for {silent:.0f} s."}
        if down:
            return found | {"state": "restarting", "reason": f"Restarting, because: {down}"}
        return found | {"state": "starting", "reason": "Starting: nothing is read yet."}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or cut off where the disk was full
        return {}
    return found if isinstance(found, dict) else {}


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _now_ms() -> int:
    return int(time.time() * 1000)
