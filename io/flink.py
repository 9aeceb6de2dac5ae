"""Flink's REST API: which jobs run, how they are doing, and how they are stopped."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from clickstream.io.errors import UserError

_ASK_SECONDS, _PAUSE = 10.0, 0.3
ENDED = ("FINISHED", "FAILED", "CANCELED")


class FlinkUnavailableError(UserError):
    """Nothing answers, or what does isn't Flink."""


def cause_in(trace: str) -> str:
    """The innermost cause that a stack trace names, in a line."""
    causes = [line.removeprefix("Caused by: ") for line in trace.splitlines() if line.startswith("Caused by: ")]
    return (causes[-1] if causes else trace.partition("\n")[0] or "unknown")[:300]


class FlinkCluster:
    """A cluster's job manager, or an embedded one.

    Args:
        address: `host:port` of its REST API, with or without `http(s)://`.
    """

    def __init__(self, address: str) -> None:
        self._url = address if address.startswith(("http://", "https://")) else f"http://{address}"

    def version(self) -> str:
        """Flink's version.

        Raises:
            FlinkUnavailableError: There is no Flink.
        """
        answer = self._ask("config")
        if "flink-version" not in answer:
            message = f"{self._url} isn't Flink's REST address (8081 unless configured otherwise)."
            raise FlinkUnavailableError(message)
        return str(answer["flink-version"])

    def setting(self, key: str) -> str | None:
        """A setting of the job manager's configuration."""
        return {entry["key"]: entry["value"] for entry in self._ask("jobmanager/config")}.get(key)

    def job_named(self, name: str) -> str | None:
        """The id of a job; None while it isn't there."""
        jobs = self._ask("jobs/overview")["jobs"]
        return next((str(job["jid"]) for job in jobs if job["name"] == name), None)

    def state(self, job: str) -> str:
        """What it is at: RUNNING, RESTARTING, FAILED, …; LOST if the cluster doesn't know it."""
        try:
            return str(self._ask(f"jobs/{job}")["state"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return "LOST"
            raise

    def restarts(self, job: str) -> int:
        """How often it was restarted."""
        found = self._ask(f"jobs/{job}/metrics?get=numRestarts")
        return int(float(found[0]["value"])) if found else 0

    def cause(self, job: str) -> str:
        """Why it failed or was restarted last: as Flink tells it, a stack trace; empty if it never did."""
        history = self._ask(f"jobs/{job}/exceptions?maxExceptions=1").get("exceptionHistory", {})
        return str((history.get("entries") or [{}])[0].get("stacktrace", ""))

    def metrics(self, job: str) -> dict[str, Mapping[str, float]]:
        """The metrics of our steps, `sum`, `min` and `max` over subtasks, by name: `clickstream_sql_rows_written`."""
        found: dict[str, Mapping[str, float]] = {}
        for vertex in self._ask(f"jobs/{job}")["vertices"]:
            place = f"jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
            names = [entry["id"] for entry in self._ask(place) if ".clickstream_" in entry["id"]]
            for start in range(0, len(names), 30):
                wanted = ",".join(quote(name) for name in names[start : start + 30])
                answer = self._ask(f"{place}?get={wanted}&agg=sum,min,max")
                found.update({entry["id"].rpartition(".")[2]: entry for entry in answer})
        return found

    def stop(self, job: str, folder: str | None, seconds: float) -> str:
        """Takes a savepoint, and cancels the job with it.

        Returns:
            Where the savepoint is.

        Raises:
            FlinkUnavailableError: It wasn't done within `seconds`, or couldn't be; the job goes on.
        """
        wanted = {"cancel-job": True, **({"target-directory": folder} if folder else {})}
        request = self._ask(f"jobs/{job}/savepoints", "POST", wanted)["request-id"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self._ask(f"jobs/{job}/savepoints/{request}")
            if answer["status"]["id"] == "COMPLETED":
                done = answer["operation"]
                if "location" in done:
                    return str(done["location"])
                why = cause_in(str(done.get("failure-cause", {}).get("stack-trace", "")))
                message = f"No savepoint ({why})."
                raise FlinkUnavailableError(message)
            time.sleep(_PAUSE)
        message = f"No savepoint within {seconds:.0f} s."
        raise FlinkUnavailableError(message)

    def cancel(self, job: str) -> None:
        """Ends a job for good, its restarts too; nothing if it has ended."""
        try:
            self._ask(f"jobs/{job}?mode=cancel", "PATCH")
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409):
                raise

    def _ask(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(  # noqa: S310 (http or https, see above)
            f"{self._url}/{path}", data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_ASK_SECONDS) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError) as error:
            message = f"No Flink answers at {self._url} ({getattr(error, 'reason', None) or error}): is it running, and this its REST address?"
            raise FlinkUnavailableError(message) from None
