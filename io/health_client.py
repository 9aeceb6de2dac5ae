"""The health of a live job, as it says itself: `/status.json` of its `--health_port`."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

import msgspec

from clickstream.io.errors import UserError

_SECONDS = 2.0
_MOST_BYTES = 1 << 20


class Health(msgspec.Struct, frozen=True):
    """Where a live job stands. Times are ms since the epoch; None: not known yet.

    Attributes:
        state: `ok`, or what it is else.
        reason: Why it isn't.
        events_per_second: Over the last seconds.
        lag: Records that wait in Kafka.
        lag_by_partition: The same, apart.
        watermark_ms: Up to when events are taken to be complete.
        windows_written: Windows that all stores have.
        rows_written: Their rows, each time they were written.
        rejected: Records in the dead letters.
        too_late: Clicks that came after their window had been closed.
        sink_retries: Writes that were tried again.
        last_error: The latest of them; None: none.
        last_error_at_ms: When.
        at_ms: When all this was so.
    """

    state: str
    reason: str | None = None
    events_per_second: float | None = None
    lag: int | None = None
    lag_by_partition: dict[str, int] = {}
    watermark_ms: float | None = None
    windows_written: int | None = None
    rows_written: int | None = None
    rejected: int | None = None
    too_late: int | None = None
    sink_retries: int | None = None
    last_error: str | None = None
    last_error_at_ms: float | None = None
    at_ms: float | None = None


def check_health_url(url: str) -> str:
    """Returns the address of a job's health, without a slash at its end.

    Raises:
        UserError: It's none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        message = "--health takes http://HOST:PORT, where the live job has its --health_port."
        raise UserError(message)
    return url.rstrip("/")


def read_health(url: str) -> Health:
    """Asks the live job at this address.

    Raises:
        UserError: It doesn't answer, or something else does.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/status.json", timeout=_SECONDS) as answer:
            return msgspec.json.decode(answer.read(_MOST_BYTES), type=Health)
    except (OSError, urllib.error.URLError) as error:
        cause = getattr(error, "reason", error)
        said = (
            f"{error.code}"
            if isinstance(error, urllib.error.HTTPError)
            else getattr(cause, "strerror", None) or "no answer"
        )
        message = f"The live job at {url} doesn't answer ({said}): it may be starting again; else start it with --health_port."
        raise UserError(message) from None
    except (msgspec.MsgspecError, ValueError):
        message = f"What answers at {url} is no live job: give --health the address of its --health_port."
        raise UserError(message) from None
