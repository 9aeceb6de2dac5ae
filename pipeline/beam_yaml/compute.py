"""Beam YAML's steps that compute: from records to page metrics."""

from typing import Any

import apache_beam as beam
from apache_beam.typehints.row_type import RowTypeConstraint

from clickstream import transforms
from clickstream.pipeline.beam_yaml.layouts import ClickRows, MeasuredRows, MetricRows, RawRows
from clickstream.pipeline.beam_yaml.rows import FromRows, ToRows
from clickstream.pipeline.beam_yaml.step import ErrorHandling, Step, with_errors
from clickstream.pipeline.options import event_format_of


def ParseClicks(  # noqa: N802
    url_normalisation: bool = True,
    max_event_age_seconds: float | None = None,
    max_clock_skew_seconds: float | None = 600.0,
    window_seconds: int = 300,
    allowed_lateness_seconds: int = 0,
    event_format: str | None = None,
    country_required: bool = False,
    iso_country_names: bool = False,
    error_handling: ErrorHandling | None = None,
) -> beam.PTransform:
    """Parses clicks out of rows: of ours, of any with a single field of text or bytes (JSON), or of any whose fields are the event's.

    Gives a row a click: row_key, user_id, timestamp (ISO 8601, UTC), url, country, and, where the event has them, city, browser, os, device,
    session_end, time_spent. A click too late for its window, as Kafka's own watermark says, is left out.

    Args:
        url_normalisation: One page, one row; false: URLs are checked and left as they are.
        max_event_age_seconds: An event further back from now is refused. None: no bound.
        max_clock_skew_seconds: An event further ahead of now is refused. None: no bound.
        window_seconds: As in AggregateByPage behind it.
        allowed_lateness_seconds: As in AggregateByPage behind it.
        event_format: How clicks are read out of events of another shape: a built-in format such as segment, or a YAML file.
        country_required: A click whose country isn't known is refused; false: it counts, under "".
        iso_country_names: Codes and names of ISO 3166 are counted under one name a country.
        error_handling: Where to put rows for records that are no clicks.
    """
    options = transforms.ParseOptions(
        normalise_urls=url_normalisation,
        max_event_age_seconds=max_event_age_seconds,
        max_clock_skew_seconds=max_clock_skew_seconds,
        window_seconds=window_seconds,
        allowed_lateness_seconds=allowed_lateness_seconds,
        event_format=event_format_of(event_format),
        country_required=country_required,
        iso_country_names=iso_country_names,
    )
    return with_errors(
        "ParseClicks",
        lambda rows: rows | _ToRaw() | "Parse" >> transforms.ParseClicks(options),
        lambda parsed: parsed.clicks | ToRows(ClickRows),
        error_handling,
    )


def MeasureTimeSpent(  # noqa: N802
    time_spent: str = "dwell",
    session_gap_seconds: int = 1800,
    window_seconds: int = 300,
    allowed_lateness_seconds: int = 0,
) -> beam.PTransform:
    """Measures the time spent on each click: rows of clicks to rows for AggregateByPage.

    With dwell a row of `sign` -1 takes back what another had said; AggregateByPage adds that up.

    Args:
        time_spent: dwell, fixed:SECONDS or reported.
        session_gap_seconds: dwell: a user's click later than this after the one before begins a session.
        window_seconds: As in AggregateByPage behind it.
        allowed_lateness_seconds: As in ParseClicks before it.
    """
    measure = transforms.MeasureTimeSpent(
        transforms.TimeSpentPolicy.from_text(time_spent),
        session_gap_seconds=session_gap_seconds,
        window_seconds=window_seconds,
        allowed_lateness_seconds=allowed_lateness_seconds,
    )
    return Step(
        "MeasureTimeSpent", lambda rows: rows | FromRows(ClickRows) | "Measure" >> measure | ToRows(MeasuredRows)
    )


def AggregateByPage(  # noqa: N802
    window_seconds: int = 300,
    allowed_lateness_seconds: int = 0,
    early_seconds: float | None = None,
    late_seconds: float = 5.0,
    sketch_size: int = 1024,
) -> beam.PTransform:
    """Aggregates measured clicks: a row a window, URL and country, as in the table page_metrics; on a stream the same again when it changes.

    Args:
        window_seconds: Length of the windows.
        allowed_lateness_seconds: How long a window stays open behind its end. With dwell on a stream: as for ParseClicks,
            and a session gap and a window more.
        early_seconds: On a stream: publish a window so often before its end.
        late_seconds: On a stream: publish it so soon after late clicks.
        sketch_size: Users' hashes a row keeps at most; 0 for none.
    """
    aggregate = transforms.AggregateByPage(
        window_seconds,
        allowed_lateness_seconds=allowed_lateness_seconds,
        sketch_size=sketch_size,
        pane_times=transforms.PaneTimes(early_seconds, late_seconds),
    )
    return Step(
        "AggregateByPage", lambda rows: rows | FromRows(MeasuredRows) | "Aggregate" >> aggregate | ToRows(MetricRows)
    )


class _ToRaw(beam.PTransform):
    """Rows to batches of raw records: of ours as they are; of others the only field, or all of them as JSON."""

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        if not RawRows.missing(rows.element_type):
            return rows | FromRows(RawRows, transforms.RawBatch)
        found = RowTypeConstraint.from_user_type(rows.element_type) or rows.element_type
        fields = found._fields if isinstance(found, RowTypeConstraint) else ()
        names = [name for name, kind in fields if kind in (str, bytes)]
        single = names[0] if len(fields) == len(names) == 1 else None
        return rows | "Events" >> beam.Map(_event, single) | transforms.BatchClicks()


def _event(row: Any, single: str | None) -> Any:
    return _plain(row) if single is None else getattr(row, single)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return value
