"""What a job computes: which clicks count, how their time is measured, and what it's summed up to."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.secrets import check_secret_reference, resolve_secret
from clickstream.pipeline.options import (
    ClickOptions,
    LiveOptions,
    MetricOptions,
    RawStoreOptions,
    event_format_of,
    tracking_of,
)
from clickstream.transforms import (
    METRIC_COLUMNS,
    Breakdowns,
    CutByWindow,
    MeasureTimeSpent,
    ParseOptions,
    Periods,
    SumByBreakdown,
    TimeSpentPolicy,
)
from clickstream.transforms.parse import ALL_COLUMNS, Pseudonyms

_LIVE_MAX_AGE_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class Settings:
    """What a job computes.

    Attributes:
        parse: What counts as a click.
        measure: How the time spent is measured.
        sketch_size: How many hashes of users a row keeps at most; 0: none.
        rollups: What windows are rolled up to, the shorter first.
        breakdowns: What clicks are broken down by.
    """

    parse: ParseOptions
    measure: MeasureTimeSpent
    sketch_size: int
    rollups: tuple[Periods, ...]
    breakdowns: Breakdowns = field(default_factory=Breakdowns)

    @classmethod
    def from_options(cls, options: PipelineOptions, *, live: bool = False) -> "Settings":
        """Reads them, once a job.

        Raises:
            UserError: Options contradict each other, there is no such time zone, or the key of the pseudonyms is missing or none.
        """
        measure, rollups = _measure(options, live=live), rollups_of(options)
        parse = _parse(options, measure, next(reversed(rollups), None), live=live)
        return cls(parse, measure, options.view_as(MetricOptions).sketch_size, rollups, breakdowns_of(options))

    @property
    def window_seconds(self) -> int:
        """The length of windows."""
        return self.measure.window_seconds

    @property
    def dwells(self) -> bool:
        """Whether a click's time ends with its user's next one."""
        return self.measure.policy.name == "dwell"

    @property
    def around_ms(self) -> int:
        """How far around a click it changes others' figures."""
        return self.measure.session_gap_seconds * 1000 if self.dwells else 0

    @property
    def sums(self) -> tuple[Periods | None, ...]:
        """What rows are made of: windows (None), then the roll-ups."""
        return (None, *self.rollups)

    def measure_step(self) -> MeasureTimeSpent:
        """The step from clicks to measured ones; anew each time, as Beam ties a step to its graph."""
        return replace(self.measure)

    def cut(self) -> CutByWindow:
        """The step from measured clicks to partial sums."""
        return CutByWindow(self.window_seconds, self.measure.shards)

    def sum_up(self, periods: Periods | None, **when: Any) -> SumByBreakdown:
        """The step from partial sums to rows of windows, or of a roll-up, and of their breakdowns. `when`: on a stream, see there."""
        found: dict[str, Any] = {
            "breakdowns": self.breakdowns,
            "shards": self.measure.shards,
            "sketch_size": self.sketch_size,
        }
        return SumByBreakdown(self.window_seconds, periods=periods, **found, **when)

    def bounds_ms(self, millis: int) -> tuple[int, int]:
        """The longest window or period that holds a time."""
        longest, window = self.parse.periods, self.window_seconds * 1000
        start = millis // window * window
        return (start, start + window) if longest is None else longest.bounds(millis)


def _parse(options: PipelineOptions, measure: MeasureTimeSpent, longest: Periods | None, *, live: bool) -> ParseOptions:
    clicks = options.view_as(ClickOptions)
    age = clicks.max_event_age
    parse = ParseOptions(
        columns=_columns(options, measure),
        normalise_urls=clicks.url_normalisation == "on",
        tracking=tracking_of(clicks.tracking_parameters),
        max_event_age_seconds=(_LIVE_MAX_AGE_SECONDS if live else None) if age is None else (age or None),
        max_clock_skew_seconds=clicks.max_clock_skew or None,
        window_seconds=measure.window_seconds,
        allowed_lateness_seconds=measure.allowed_lateness_seconds,
        session_gap_seconds=measure.session_gap_seconds if measure.policy.name == "dwell" else 0,
        periods=longest,
        user_key=user_key(options),
        event_format=event_format_of(clicks.event_format),
        country_required=clicks.unknown_country == "reject",
        iso_country_names=clicks.country_names == "iso",
    )
    return replace(parse, event_format=parse.event_format and parse.event_format.of_fields(parse.fields))


def _columns(options: PipelineOptions, measure: MeasureTimeSpent) -> tuple[str, ...]:
    if _keeps_raw_clicks(options):
        if lost := [name for name in measure.traits if name not in ALL_COLUMNS]:
            message = f"--breakdowns={','.join(lost)} isn't kept by this raw store: leave them out, or --raw_store."
            raise UserError(message)
        return ALL_COLUMNS
    reported = ("session_end", "time_spent")  # read by that policy only
    columns = tuple(name for name in METRIC_COLUMNS if measure.policy.name == "reported" or name not in reported)
    return (*columns, *measure.traits, *(["row_key"] if measure.needs_row_key else []))


def _keeps_raw_clicks(options: PipelineOptions) -> bool:
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


def _measure(options: PipelineOptions, *, live: bool) -> MeasureTimeSpent:
    metrics = options.view_as(MetricOptions)
    return MeasureTimeSpent(
        TimeSpentPolicy.from_text(metrics.time_spent),
        session_gap_seconds=max(1, round(metrics.session_gap)),
        deduplicate=_deduplicate(options),
        window_seconds=metrics.window_seconds,
        allowed_lateness_seconds=int(metrics.allowed_lateness) if live else 0,
        shards=metrics.shards or 1,
        traits=breakdowns_of(options).names,
    )


def _deduplicate(options: PipelineOptions) -> bool | None:
    """With a raw store always: that holds a click once, and what is computed from it must be the same."""
    asked, kept = options.view_as(MetricOptions).deduplicate, _keeps_raw_clicks(options)
    if asked == "off" and kept:
        message = "--deduplicate=off counts equal clicks twice, which a raw store holds once: leave out one of --deduplicate and --raw_store."
        raise UserError(message)
    return asked == "row_key" or kept if asked or kept else None


def breakdowns_of(options: PipelineOptions) -> Breakdowns:
    """What clicks are broken down by."""
    metrics = options.view_as(MetricOptions)
    return Breakdowns(tuple(filter(None, (metrics.breakdowns or "").split(","))), metrics.breakdown_values)


def rollups_of(options: PipelineOptions) -> tuple[Periods, ...]:
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
    return tuple(found)
