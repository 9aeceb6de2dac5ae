"""`MeasureTimeSpent`: from a policy to the steps that it needs."""

from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from clickstream.transforms.breakdowns import traits_of
from clickstream.transforms.measure.policy import TimeSpentPolicy, measure_time_spent
from clickstream.transforms.measure.track import TrackVisits
from clickstream.transforms.measure.visits import VisitRules
from clickstream.transforms.measure.waiting import BY_USER, ByUser
from clickstream.transforms.runner import keep_state_whole

_BOUNDED_SHARDS = 8  # of users a worker, so that not all clicks are looked at at once


@dataclass(eq=False)
class MeasureTimeSpent(beam.PTransform):
    """Clicks with the time spent on each, by the policy `dwell`, `fixed:SECONDS` or `reported`.

    In: tables of clicks, bounded or not, in any order; or `{"clicks": …, "before": …}`, of which the latter aren't counted, but show what the others
    followed. Out: tables for `AggregateByPage`. `reported` needs the columns time_spent and session_end; `dwell` and `deduplicate` need row_key, and
    remember users.

    With `dwell`, what was said of a click is taken back and said anew when another one changes it: a row with `sign` -1, and one with 1. On unbounded
    input that may be as much as `settled_seconds` behind the end of its window and the allowed lateness: for so long must
    `AggregateByPage` keep windows.

    Attributes:
        policy: How the time is known.
        session_gap_seconds: A user's click this long after the one before, or less, is of the same session.
        deduplicate: Equal clicks (user, time, page, country, row key) count once. None: with `dwell`.
        window_seconds: Length of the windows behind it: clicks are settled before their window ends.
        allowed_lateness_seconds: How late clicks may come, as of `ParseOptions`.
        shards: Into how many groups users are spread.
        traits: The columns of clicks that they are broken down by, in one column `traits` of theirs (see `traits_of`); without any there is none.
    """

    policy: TimeSpentPolicy = field(default_factory=lambda: TimeSpentPolicy("dwell"))
    session_gap_seconds: int = 1800
    deduplicate: bool | None = None
    window_seconds: int = 300
    allowed_lateness_seconds: int = 0
    shards: int = 1
    traits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.session_gap_seconds, self.window_seconds, self.shards) < 1 or self.allowed_lateness_seconds < 0:
            message = "MeasureTimeSpent: session_gap_seconds, window_seconds and shards must be at least 1, allowed_lateness_seconds at least 0."
            raise ValueError(message)

    @property
    def needs_row_key(self) -> bool:
        """Whether clicks must come with their row key."""
        dwells = self.policy.name == "dwell"
        return dwells if self.deduplicate is None else dwells or self.deduplicate

    @property
    def settled_seconds(self) -> int:
        """How long after a window's end, beyond the allowed lateness, a click's time may still become known."""
        return self.session_gap_seconds + self.window_seconds if self.policy.name == "dwell" else 0

    def expand(self, inputs: Any) -> beam.PCollection:
        clicks, before = (inputs["clicks"], inputs["before"]) if isinstance(inputs, dict) else (inputs, None)
        if self.policy.name != "dwell":
            clicks |= str(self.policy) >> beam.Map(measure_time_spent, self.policy).with_output_types(pa.Table)
        if not self.needs_row_key:
            return (
                clicks | "Traits" >> beam.Map(_with_traits, self.traits).with_output_types(pa.Table)
                if self.traits
                else clicks
            )
        keep_state_whole(clicks.pipeline)
        bounded = clicks.is_bounded
        shards = self.shards * (_BOUNDED_SHARDS if bounded else 1)
        parts = {"Clicks": (clicks, True)} | ({"Before": (before, False)} if before is not None else {})
        by_user = [
            part
            | f"{name}AtAnyTime" >> beam.WindowInto(GlobalWindows())
            | f"{name}ByUser"
            >> beam.ParDo(self._by_user(shards, counted=counted, bounded=bounded)).with_output_types(BY_USER)
            for name, (part, counted) in parts.items()
        ]
        return (
            by_user
            | "All" >> beam.Flatten()
            | "VisitsInOrder" >> beam.ParDo(self._tracker(bounded=bounded)).with_output_types(pa.Table)
        )

    def _by_user(self, shards: int, *, counted: bool, bounded: bool) -> ByUser:
        return ByUser(shards, counted=counted, bounded=bounded, traits=self.traits)

    def _tracker(self, *, bounded: bool) -> TrackVisits:
        gap_ms = self.session_gap_seconds * 1000 if self.policy.name == "dwell" else None
        return TrackVisits(
            VisitRules(gap_ms, deduplicate=self.deduplicate is not False, traits=bool(self.traits)),
            window_seconds=self.window_seconds,
            lateness_seconds=self.allowed_lateness_seconds,
            bounded=bounded,
        )


def _with_traits(clicks: pa.Table, names: tuple[str, ...]) -> pa.Table:
    return clicks.append_column("traits", traits_of(clicks, names))
