"""How a worker's error reaches the user, and what Beam says beside it doesn't."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apache_beam.runners.worker import sdk_worker

from clickstream.io.errors import UserError, user_error_in


def quiet_beam() -> None:
    """Beam and Prism announce each process that they start or end, as warnings: of no use to who runs the job.

    So does Cassandra's driver with protocols and attempts, beside what the job says of an outage itself.
    """
    local_workers = "apache_beam.runners.portability.local_job_service"
    for name in ("apache_beam.utils.subprocess_server", "PrismRunner", local_workers):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


# What Beam's worker says of bundles that end after one has failed: they are no longer where it looks for them.
_ECHO = re.compile(r"in release\b(?s:.*)KeyError: 'inst\d+'\s*$")


class Causes:
    """Why workers of this process failed, where a person can mend it: Beam prints that with its traceback, and passes on less than it prints."""

    last: UserError | None = None

    def take(self, text: object = "", **where: Any) -> None:
        """In the place of `print`: keeps the cause, and prints what is none."""
        found = user_error_in(Exception(text))
        if found is None and not _ECHO.search(str(text)):
            print(text, **where)
        self.last = found or self.last

    def is_new(self, record: logging.LogRecord) -> bool:
        """Leaves out that Prism ends a job whose cause is known."""
        return self.last is None or record.name != "PrismRunner"


@contextmanager
def mendable_errors() -> Iterator[Causes]:
    """A worker's error that a person can mend arrives as a `UserError`; its traceback, which Beam logs and prints on the way, is left out."""
    causes = Causes()
    sdk_worker.print = causes.take
    handlers = [
        *logging.getLogger().handlers,
        *logging.getLogger("apache_beam").handlers,
        *filter(None, [logging.lastResort]),
    ]
    for handler in handlers:
        handler.addFilter(_not_mendable)
        handler.addFilter(causes.is_new)
    try:
        yield causes
    except Exception as error:
        found = user_error_in(error)
        if found is None:
            raise
        raise found from error
    finally:
        del sdk_worker.print
        for handler in handlers:
            handler.removeFilter(_not_mendable)
            handler.removeFilter(causes.is_new)


def _not_mendable(record: logging.LogRecord) -> bool:
    raised = record.exc_info[1] if record.exc_info else None
    said = record.getMessage()
    return user_error_in(raised or Exception(said)) is None and not _ECHO.search(said)
