"""What batch and live jobs share: which runner, which clicks count, and how a worker's error reaches the user."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from clickstream.io.errors import user_error_in
from clickstream.pipeline.options import ClickOptions, MetricOptions
from clickstream.transforms import METRIC_COLUMNS, ParseOptions

_LIVE_MAX_AGE_SECONDS = 7 * 86_400.0


def runner_of(options: PipelineOptions) -> str:
    """The runner of a bounded job. See docs/decisions/0002: DirectRunner would choose its engine by what it finds on the machine."""
    runner = options.view_as(StandardOptions).runner
    return "FnApiRunner" if runner in (None, "DirectRunner") else str(runner)


def parse_options(options: PipelineOptions, *, live: bool = False) -> ParseOptions:
    """What counts as a click, from the command line."""
    clicks, metrics = options.view_as(ClickOptions), options.view_as(MetricOptions)
    age = clicks.max_event_age
    return ParseOptions(
        columns=METRIC_COLUMNS,
        normalise_urls=clicks.url_normalisation == "on",
        max_event_age_seconds=(_LIVE_MAX_AGE_SECONDS if live else None) if age is None else (age or None),
        max_clock_skew_seconds=clicks.max_clock_skew or None,
        window_seconds=metrics.window_seconds,
        allowed_lateness_seconds=int(metrics.allowed_lateness) if live else 0,
    )


def quiet_beam() -> None:
    """Beam and Prism announce each process that they start or end, as warnings: of no use to who runs the job."""
    local_workers = "apache_beam.runners.portability.local_job_service"
    for name in ("apache_beam.utils.subprocess_server", "PrismRunner", local_workers):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def mendable_errors() -> Iterator[None]:
    """A worker's error that a person can mend arrives as a `UserError`; its traceback, which Beam logs on the way, is left out."""
    handlers = [
        *logging.getLogger().handlers,
        *logging.getLogger("apache_beam").handlers,
        *filter(None, [logging.lastResort]),
    ]
    for handler in handlers:
        handler.addFilter(_not_mendable)
    try:
        yield
    except Exception as error:
        found = user_error_in(error)
        if found is None:
            raise
        raise found from error
    finally:
        for handler in handlers:
            handler.removeFilter(_not_mendable)


def _not_mendable(record: logging.LogRecord) -> bool:
    raised = record.exc_info[1] if record.exc_info else None
    return user_error_in(raised or Exception(record.getMessage())) is None
