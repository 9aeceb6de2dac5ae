"""What batch and live jobs share: which runner, which clicks count, and how a worker's error reaches the user."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.worker import sdk_worker

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.secrets import check_secret_reference, resolve_secret
from clickstream.pipeline.options import (
    ClickOptions,
    LiveOptions,
    MetricOptions,
    RawStoreOptions,
    event_format_of,
    tracking_of,
)
from clickstream.transforms import METRIC_COLUMNS, MeasureTimeSpent, ParseOptions, Periods, TimeSpentPolicy
from clickstream.transforms.parse import ALL_COLUMNS, Pseudonyms

_LIVE_MAX_AGE_SECONDS = 7 * 86_400.0


def runner_of(options: PipelineOptions) -> str:
    """The runner of a bounded job. See docs/decisions/0002: DirectRunner would choose its engine by what it finds on the machine."""
    runner = options.view_as(StandardOptions).runner
    return "FnApiRunner" if runner in (None, "DirectRunner") else str(runner)


def on_prism(options: PipelineOptions) -> bool:
    """Whether a live job runs on Prism: unless another runner is named."""
    return options.view_as(StandardOptions).runner in (None, "DirectRunner", "PrismRunner")


def parse_options(options: PipelineOptions, *, live: bool = False) -> ParseOptions:
    """What counts as a click, from the command line."""
    clicks, metrics = options.view_as(ClickOptions), options.view_as(MetricOptions)
    age = clicks.max_event_age
    measure = measure_step(options, live=live)
    dwells = measure.policy.name == "dwell"
    return ParseOptions(
        columns=_columns(options, measure),
        normalise_urls=clicks.url_normalisation == "on",
        tracking=tracking_of(clicks.tracking_parameters),
        max_event_age_seconds=(_LIVE_MAX_AGE_SECONDS if live else None) if age is None else (age or None),
        max_clock_skew_seconds=clicks.max_clock_skew or None,
        window_seconds=metrics.window_seconds,
        allowed_lateness_seconds=measure.allowed_lateness_seconds,
        session_gap_seconds=measure.session_gap_seconds if dwells else 0,
        periods=longest_periods(options),
        user_key=user_key(options),
        event_format=event_format_of(clicks.event_format),
    )


def _columns(options: PipelineOptions, measure: MeasureTimeSpent) -> tuple[str, ...]:
    if keeps_raw_clicks(options):
        return ALL_COLUMNS
    reported = ("session_end", "time_spent")  # read by that policy only
    columns = tuple(name for name in METRIC_COLUMNS if measure.policy.name == "reported" or name not in reported)
    return (*columns, "row_key") if measure.needs_row_key else columns


def keeps_raw_clicks(options: PipelineOptions) -> bool:
    """Whether clicks are kept whole in a raw store, each once; in files they are kept as they are counted."""
    return options.view_as(RawStoreOptions).raw_store not in (None, "none", "files")


def checks_servers(options: PipelineOptions) -> bool:
    """Whether servers are asked, and secrets read, before the start: from elsewhere than the workers it may not be possible."""
    return bool(options.view_as(LiveOptions).check_servers == "on")


def user_key(options: PipelineOptions) -> Callable[[], str] | None:
    """What gives a worker the key of the pseudonyms; it holds no more than the reference. None: user ids stay as they are.

    Raises:
        UserError: The reference is malformed, or what it names is missing or no key.
    """
    reference = options.view_as(ClickOptions).hash_user_ids
    if reference is None:
        return None
    if not checks_servers(options):
        check_secret_reference(reference)
        return partial(resolve_secret, reference)
    try:
        Pseudonyms(resolve_secret(reference))
    except UnicodeDecodeError:
        message = f"--hash_user_ids={reference} is no text: make a key with openssl rand -hex 32."
        raise UserError(message) from None
    except ValueError as error:
        message = f"--hash_user_ids={reference}: {error}"
        raise UserError(message) from None
    return partial(resolve_secret, reference)


def measure_step(options: PipelineOptions, *, live: bool = False, shards: int = 1) -> MeasureTimeSpent:
    """How the time spent is measured, from the command line."""
    metrics = options.view_as(MetricOptions)
    return MeasureTimeSpent(
        TimeSpentPolicy.from_text(metrics.time_spent),
        session_gap_seconds=max(1, round(metrics.session_gap)),
        deduplicate=_deduplicate(options),
        window_seconds=metrics.window_seconds,
        allowed_lateness_seconds=int(metrics.allowed_lateness) if live else 0,
        shards=shards,
    )


def _deduplicate(options: PipelineOptions) -> bool | None:
    """With a raw store always: that holds a click once, and what is computed from it must be the same."""
    asked, kept = options.view_as(MetricOptions).deduplicate, keeps_raw_clicks(options)
    if asked == "off" and kept:
        message = "--deduplicate=off counts equal clicks twice, which a raw store holds once: leave out one of --deduplicate and --raw_store."
        raise UserError(message)
    return asked == "row_key" or kept if asked or kept else None


def rollups_of(options: PipelineOptions) -> list[Periods]:
    """The roll-ups, the shorter first.

    Raises:
        UserError: There is no such time zone, or windows don't fit into its hours or days.
    """
    metrics = options.view_as(MetricOptions)
    try:
        found = [Periods(name, metrics.time_zone) for name in (metrics.rollups or "").split(",") if name]
        for periods in found:
            periods.check_windows(metrics.window_seconds)
    except ValueError as error:
        message = f"--rollups={metrics.rollups} --time_zone={metrics.time_zone}: {error}."
        raise UserError(message) from None
    return found


def longest_periods(options: PipelineOptions) -> Periods | None:
    """The roll-up whose periods are open longest: they begin and end where one of the shorter does."""
    return next(reversed(rollups_of(options)), None)


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
