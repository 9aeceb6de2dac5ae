"""Raw records to click columns: every record ends as exactly one click, too late or not, or one rejected record with its reason."""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clickstream.transforms.arrays import Int64s, Mask, Millis, millis_of
from clickstream.transforms.parse import checks as check
from clickstream.transforms.parse.arrivals import ARRIVAL_COLUMNS
from clickstream.transforms.parse.faults import FAULT, narrowed
from clickstream.transforms.parse.formats import EventFormat, read_events
from clickstream.transforms.parse.hidden_ids import stand_in, without_ids
from clickstream.transforms.parse.pseudonyms import Pseudonyms
from clickstream.transforms.parse.reader import Decoded, KnownShapes, Refusal, read_records
from clickstream.transforms.parse.times import LATEST_MS
from clickstream.transforms.parse.tracking import DEFAULT_TRACKING, TrackingParameters
from clickstream.transforms.parse.urls import UrlForm
from clickstream.transforms.periods import Periods
from clickstream.transforms.schema import CLICK_SCHEMA, REJECTED_SCHEMA, BatchProgress, RawBatch

ALL_COLUMNS = tuple(CLICK_SCHEMA.names)
METRIC_COLUMNS = ("user_id", "timestamp", "url", "country", "session_end", "time_spent")

_REQUIRED = {"user_id", "timestamp", "url", "country"}
_MOST_SPANS = 8  # of a batch: many windows in one aren't worth an element each
_CHECKED = ("timestamp", "user_id", "country", "url", "session_end")


@dataclass(frozen=True)
class ParseOptions:
    """What counts as a click.

    Attributes:
        columns: The columns of CLICK_SCHEMA, and of ARRIVAL_SCHEMA, to make; METRIC_COLUMNS are enough for a job that stores no raw clicks,
            and cheaper.
        normalise_urls: One page, one row (see `normalise_url`). False: URLs are checked and left as they are.
        tracking: The query parameters that don't say which page is shown.
        max_event_age_seconds: An event further back from now than this is rejected. None: no bound, as for logs.
        max_clock_skew_seconds: An event further ahead of now than this is rejected. None: no bound.
        max_record_bytes: A longer record is rejected undecoded.
        window_seconds, allowed_lateness_seconds: A click whose window ended this long before its batch's watermark is too late.
            Without a watermark (bounded input) nothing is. They must be those of `AggregateByPage` behind it.
        session_gap_seconds: Where sessions are told (`MeasureTimeSpent`'s dwell), how far apart clicks matter to each other. 0: not at all.
        periods: The longest that windows are rolled up to (`SumByPage`); None: they aren't.
        user_key: Gives the key of the pseudonyms that take the place of user ids; called on each worker, so that no graph holds the key. None: ids
            stay as they are.
        event_format: How clicks are read out of events of another shape. None: records are clicks, nested or flat.
        country_required: A click whose country isn't known is rejected. False: it counts, under the country "".
        iso_country_names: Codes and names of ISO 3166 are counted under one name a country (`iso_name`). False: as they are given.
    """

    columns: tuple[str, ...] = ALL_COLUMNS
    normalise_urls: bool = True
    tracking: TrackingParameters = DEFAULT_TRACKING
    max_event_age_seconds: float | None = None
    max_clock_skew_seconds: float | None = 600
    max_record_bytes: int = 1 << 20
    window_seconds: int = 300
    allowed_lateness_seconds: int = 0
    session_gap_seconds: int = 0
    periods: Periods | None = None
    user_key: Callable[[], str] | None = None
    country_required: bool = False
    iso_country_names: bool = False
    event_format: EventFormat | None = None

    def __post_init__(self) -> None:
        known = (*ALL_COLUMNS, *ARRIVAL_COLUMNS)
        unknown, missing = sorted(set(self.columns) - set(known)), sorted(_REQUIRED - set(self.columns))
        if unknown or missing:
            message = f"ParseOptions.columns: unknown {unknown}, missing {missing}; the columns are {', '.join(known)}."
            raise ValueError(message)
        if min(self.max_event_age_seconds or 0, self.max_clock_skew_seconds or 0) < 0:
            message = (
                "ParseOptions: max_event_age_seconds and max_clock_skew_seconds must be at least 0, or None: no bound."
            )
            raise ValueError(message)
        if (
            min(self.window_seconds, self.max_record_bytes) < 1
            or min(self.allowed_lateness_seconds, self.session_gap_seconds) < 0
        ):
            message = (
                "ParseOptions: window_seconds and max_record_bytes must be at least 1, allowed_lateness_seconds and "
                "session_gap_seconds at least 0."
            )
            raise ValueError(message)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of records that are read: no others."""
        columns = [name for name in self.columns if name not in ARRIVAL_COLUMNS]
        referred = [] if {"referrer", "channel"}.isdisjoint(self.columns) else ["referrer"]
        return tuple(dict.fromkeys((*_CHECKED, *columns, *referred)))


class ParsedBatch(NamedTuple):
    """What became of a batch: `clicks` and `too_late` (CLICK_SCHEMA), `rejected` (REJECTED_SCHEMA), and a Kafka batch's progress, in order.

    `mended` counts what was cut or made unknown in fields that a row can do without (`browser_cut`, `session_end_unknown`, …).
    `before` are those of `too_late` whose windows were complete when the run began: counted then, and read again to know what others followed.
    `not_clicks`: how many records are none by the event format, and are in none of the tables.
    """

    clicks: pa.Table
    too_late: pa.Table
    rejected: pa.Table
    progress: list[BatchProgress]
    before: pa.Table
    mended: Counter[str]
    not_clicks: int = 0


def parse_clicks(
    batch: RawBatch,
    options: ParseOptions,
    *,
    now_ms: int,
    pseudonyms: Pseudonyms | None = None,
    shapes: KnownShapes | None = None,
) -> ParsedBatch:
    """Decodes, checks and normalises a batch of raw records. Never raises for a record's content.

    Args:
        batch: JSON records, nested or flat; or events of the options' format.
        options: What counts as a click.
        now_ms: The present, ms since the epoch: where `max_event_age_seconds` and `max_clock_skew_seconds` count from.
        pseudonyms: With these, no result holds a user's id as it came, rejected records neither.
        shapes: What earlier batches' records looked like, to be kept from one to the next: it saves time, and changes nothing else.

    Returns:
        Each record exactly once, among clicks, too late, rejected or not clicks, whatever its neighbours are. Order is kept.

    Raises:
        ValueError: The options have a `user_key`, and there are no `pseudonyms` made with it.
    """
    if options.user_key is not None and pseudonyms is None:
        message = "parse_clicks: the options have a user_key; hand over pseudonyms=Pseudonyms(options.user_key())."
        raise ValueError(message)
    parse = partial(_parse, options=options, now_ms=now_ms, pseudonyms=pseudonyms, shapes=shapes or KnownShapes())
    try:
        return parse(batch)
    except Exception as error:
        refuse = partial(_refused_whole, options=options, pseudonyms=pseudonyms)
        return _joined(narrowed(batch, error, parse, refuse))


def _parse(
    batch: RawBatch, options: ParseOptions, now_ms: int, pseudonyms: Pseudonyms | None, shapes: KnownShapes
) -> ParsedBatch:
    decoded, not_clicks = _read(batch, list(options.fields), options, shapes)
    if pseudonyms is not None:
        pseudonyms.hide(decoded.fields)
    age, skew = options.max_event_age_seconds, options.max_clock_skew_seconds
    earliest = -math.inf if age is None else now_ms - age * 1000
    latest = math.inf if skew is None else now_ms + skew * 1000
    bounds, form = check.Bounds(earliest, latest), UrlForm(options.normalise_urls, options.tracking)
    countries = check.Countries(options.country_required, options.iso_country_names)
    clicks, numbers, refused, mended = check.check_clicks(decoded, options.columns, bounds, form, countries)
    late = _too_late(clicks, batch.watermark, options)
    on_time, too_late = clicks, clicks.slice(0, 0)
    if late.any():
        on_time, too_late, numbers = clicks.filter(~late), clicks.filter(late), numbers[~late]
    rejected = _rejected(batch, decoded.refused + _named(refused, options.event_format), options, pseudonyms)
    before = too_late.filter(_too_late(too_late, batch.complete_until, options))
    return ParsedBatch(
        on_time, too_late, rejected, _progress(batch, on_time, numbers, options), before, mended, not_clicks
    )


def _read(batch: RawBatch, fields: list[str], options: ParseOptions, shapes: KnownShapes) -> tuple[Decoded, int]:
    """The records' fields, and how many of them are no clicks."""
    if batch.undecoded:
        return _read_the_others(batch, fields, options, shapes)
    most = options.max_record_bytes
    if options.event_format is None:
        return read_records(batch.values, fields, shapes, max_record_bytes=most), 0
    return read_events(batch.values, fields, options.event_format, shapes, max_record_bytes=most)


def _read_the_others(
    batch: RawBatch, fields: list[str], options: ParseOptions, shapes: KnownShapes
) -> tuple[Decoded, int]:
    """The same where the source couldn't decode some."""
    here = np.ones(len(batch.values), np.bool_)
    here[[number for number, _, _ in batch.undecoded]] = False
    at = np.flatnonzero(here)
    others = batch._replace(values=[batch.values[number] for number in at.tolist()], undecoded=())
    decoded, not_clicks = _read(others, fields, options, shapes)
    refused = [each._replace(number=int(at[each.number])) for each in decoded.refused]
    refused += [Refusal(*each) for each in batch.undecoded]
    return decoded._replace(kept=at[decoded.kept], refused=refused), not_clicks


def _named(refused: list[Refusal], event_format: EventFormat | None) -> list[Refusal]:
    """The same with the field's name in the user's terms; a detail begins with ours."""
    if event_format is None:
        return refused
    named = ((each, event_format.named(each.detail.partition(" ")[0])) for each in refused)
    return [each._replace(detail=f"{each.detail} (from {where})") if where else each for each, where in named]


def _refused_whole(batch: RawBatch, detail: str, options: ParseOptions, pseudonyms: Pseudonyms | None) -> ParsedBatch:
    """A batch of one record, for which the program failed."""
    none = check.click_schema(options.columns).empty_table()
    rejected = _rejected(batch, [Refusal(0, FAULT, detail)], options, pseudonyms)
    return ParsedBatch(none, none, rejected, _progress(batch, none, np.empty(0, np.int64), options), none, Counter())


def _joined(parts: list[ParsedBatch]) -> ParsedBatch:
    clicks, too_late, rejected, progress, before, mended, not_clicks = zip(*parts, strict=True)
    tables = (pa.concat_tables(each) for each in (clicks, too_late, rejected, before))
    on_time, late, refused, earlier = (table.combine_chunks() for table in tables)
    done = [each for some in progress for each in some]
    return ParsedBatch(on_time, late, refused, done, earlier, sum(mended, Counter()), sum(not_clicks))


def _too_late(clicks: pa.Table, watermark: int | None, options: ParseOptions) -> Mask:
    if watermark is None or clicks.num_rows == 0:
        return np.zeros(clicks.num_rows, np.bool_)
    return _closed(millis_of(clicks), options) <= watermark


def _closed(millis: Millis, options: ParseOptions) -> Millis:
    """When the windows of these times are closed for good, ms since the epoch."""
    window = options.window_seconds * 1000
    return (millis // window + 1) * window + options.allowed_lateness_seconds * 1000


def _settled(millis: Millis, options: ParseOptions) -> Millis:
    """When the last window or period that these clicks matter to is settled.

    It may begin a gap later, and times in it become known another gap later.
    """
    gap = options.session_gap_seconds * 1000
    if options.periods is None:
        closed = _closed(millis + gap, options)
    else:
        closed = options.periods.ends(millis + gap) + options.allowed_lateness_seconds * 1000
    return closed + (gap + options.window_seconds * 1000 if gap else 0)


def _rejected(
    batch: RawBatch, refused: list[Refusal], options: ParseOptions, pseudonyms: Pseudonyms | None
) -> pa.Table:
    refused.sort()
    stamps = batch.record_timestamps  # any number that a producer gives
    kept = [(r.detail, batch.values[r.number]) for r in refused]
    if pseudonyms is not None:
        # In other events ids have other names, and may be anywhere; so may they in what isn't decoded.
        undecoded = {number for number, _, _ in batch.undecoded}
        named = [options.event_format is None and r.number not in undecoded for r in refused]
        kept = [_without_ids(r, raw, pseudonyms, named=n) for r, (_, raw), n in zip(refused, kept, named, strict=True)]
    columns = [
        [batch.source] * len(refused),
        [batch.positions[r.number] for r in refused],
        [None if stamps is None or not 0 <= stamps[r.number] < LATEST_MS else stamps[r.number] for r in refused],
        [r.reason for r in refused],
        [detail for detail, _ in kept],
        [raw for _, raw in kept],
    ]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, REJECTED_SCHEMA, strict=True)], schema=REJECTED_SCHEMA
    )


def _without_ids(refusal: Refusal, raw: bytes, pseudonyms: Pseudonyms, *, named: bool) -> tuple[str, bytes]:
    """A rejected record's detail and bytes. One that is too large isn't read now either, nor one whose ids aren't `named` user_id."""
    clean = None
    if named and refusal.reason != "record_too_large":
        # What made the program fail may do so here again.
        with suppress(Exception) if refusal.reason == FAULT else nullcontext():
            clean = without_ids(raw, pseudonyms)
    if clean is not None:
        return refusal.detail, clean
    return f"{refusal.detail}; the bytes are withheld, as no user_id in them could be hidden", stand_in(raw, pseudonyms)


def _progress(batch: RawBatch, clicks: pa.Table, numbers: Int64s, options: ParseOptions) -> list[BatchProgress]:
    """The batch's span, cut where a click is the first of a later window: what lies before is done with earlier."""
    if batch.span is None or batch.watermark is None:
        return []
    source, span, watermark = batch.source, batch.span, batch.watermark
    if not clicks.num_rows:
        return [BatchProgress(source, span, watermark)]
    needed = np.maximum.accumulate(np.maximum(_settled(millis_of(clicks), options), watermark))
    first = np.flatnonzero(np.diff(needed)) + 1
    first = first[:: len(first) // _MOST_SPANS + 1]
    cuts = [span.start, *(int(batch.positions[numbers[click]]) for click in first), span.end]
    until = [int(needed[click - 1]) for click in (*first, len(needed))]
    return [
        BatchProgress(source, span._replace(start=start, end=end), needed_until)
        for start, end, needed_until in zip(cuts[:-1], cuts[1:], until, strict=True)
    ]
