"""The one way in: a batch of events of any shape to the columns of clicks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clickstream.transforms.arrays import Mask
from clickstream.transforms.lines import as_lines
from clickstream.transforms.parse.formats.extracted import Extracted, merged, read_singly
from clickstream.transforms.parse.formats.fields import are_clicks, make_fields
from clickstream.transforms.parse.formats.mapping import EventFormat
from clickstream.transforms.parse.formats.same_shape import PathShapes, cut_paths
from clickstream.transforms.parse.formats.text_lines import read_lines
from clickstream.transforms.parse.reader import Decoded, KnownShapes, Refusal, find_same_shape


class Events(NamedTuple):
    """A batch's events that may be clicks, and how many are none."""

    decoded: Decoded
    not_clicks: int


def read_events(
    values: Sequence[bytes],
    fields: Sequence[str],
    event_format: EventFormat,
    known: KnownShapes,
    *,
    max_record_bytes: int = 1 << 20,
) -> Events:
    """Reads every event of a batch and takes the fields of clicks out; never raises for a record's content.

    Args:
        values: Events of this format.
        fields: Names of CLICK_SCHEMA's columns to make.
        event_format: Where they come from.
        known: Shapes that were met before, to which this batch's are added. It changes the cost, and nothing else.
        max_record_bytes: A longer record is refused undecoded.

    Returns:
        Each record exactly once: with its fields, refused with its reason, or counted as no click.
    """
    found = extract(values, event_format, known, max_record_bytes)
    columns = dict(zip(event_format.paths(), found.columns, strict=True))
    good = are_clicks(columns, event_format.only, len(found.kept))
    not_clicks, kept = _none(values, found), found.kept
    if not good.all():
        kept, columns = kept[good], {path: column.filter(good) for path, column in columns.items()}
    refused = _Refused(len(kept))
    made = make_fields(columns, fields, event_format, len(kept), refused.refuse)
    why = [*found.refused, *refused.of(kept)]
    if not refused.good.all():
        made = {name: column.filter(refused.good) for name, column in made.items()}
    return Events(Decoded(made, kept[refused.good], why), not_clicks + int(np.count_nonzero(~good)))


def extract(values: Sequence[bytes], event_format: EventFormat, known: KnownShapes, max_record_bytes: int) -> Extracted:
    """What the format's paths lead to in each event."""
    paths = tuple(map(event_format.place_of, event_format.paths()))
    if not event_format.record.is_json:
        return read_lines(values, event_format.record, paths, max_record_bytes)
    lines, shaper = as_lines(values), PathShapes(paths)
    if lines is None or not (found := find_same_shape(lines, known, max_record_bytes, shaper)):
        return read_singly(values, paths, max_record_bytes)
    cut = cut_paths(lines, found, len(paths))
    return merged(cut.events, read_singly(cut.others, paths, max_record_bytes), cut.others_at)


def _none(values: Sequence[bytes], found: Extracted) -> int:
    """Lines that are no events at all, such as comments."""
    return len(values) - len(found.kept) - len(found.refused)


class _Refused:
    """Collects, for each of `count` events, the first reason against it."""

    def __init__(self, count: int) -> None:
        self.good: Mask = np.ones(count, np.bool_)
        self._found: list[tuple[Mask, str, str]] = []

    def refuse(self, bad: Mask, reason: str, detail: str) -> None:
        """Refuses the marked ones that nothing was against yet."""
        bad = bad & self.good
        if bad.any():
            self._found.append((bad, reason, detail))
            self.good = self.good & ~bad

    def of(self, kept: np.ndarray) -> list[Refusal]:
        """One refusal each, under its number in the batch, which `kept` maps to."""
        return [
            Refusal(int(kept[n]), reason, detail) for bad, reason, detail in self._found for n in np.flatnonzero(bad)
        ]
