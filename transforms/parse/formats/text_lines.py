"""Events that are lines of text: a pattern, or texts with a separator between them, a column a name."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Mask
from clickstream.transforms.lines import Places
from clickstream.transforms.parse.formats.extracted import Extracted, PathColumn, texts_column
from clickstream.transforms.parse.formats.json_values import UnreadableError, text_in
from clickstream.transforms.parse.formats.mapping import Record
from clickstream.transforms.parse.formats.paths import Path
from clickstream.transforms.parse.reader import Refusal


def read_lines(values: Sequence[bytes], record: Record, paths: Sequence[Path], max_record_bytes: int) -> Extracted:
    """Reads each line by its pattern or separator. Comments are in no part of the result."""
    texts, at, refused = _texts(values, max_record_bytes)
    column = pa.array(texts, pa.string())
    comments = np.zeros(len(texts), np.bool_)
    if record.comments:
        comments = np.asarray(pc.starts_with(column, record.comments))
    parts = _by_pattern(column, record) if record.pattern else _by_separator(column, record, texts)
    return _told(parts, comments, at, refused, record, paths)


def _told(
    parts: tuple[dict[str, pa.Array], Mask],
    comments: Mask,
    at: Places,
    refused: list[Refusal],
    record: Record,
    paths: Sequence[Path],
) -> Extracted:
    columns, fit = parts
    what = (
        "doesn't fit the format's pattern"
        if record.pattern
        else "has another number of values than the format has names"
    )
    refused += [Refusal(int(at[n]), "invalid_line", f"the line {what}") for n in np.flatnonzero(~fit & ~comments)]
    good = fit & ~comments
    return Extracted([_at(columns, path, record).filter(good) for path in paths], at[good], refused)


def _at(columns: dict[str, pa.Array], path: Path, record: Record) -> PathColumn:
    name = path.steps[0]
    if len(path.steps) == 1 and isinstance(name, str) and name in columns:
        return texts_column(columns[name], record.nulls)
    return texts_column(pa.nulls(len(next(iter(columns.values()))), pa.string()))


def _texts(values: Sequence[bytes], max_record_bytes: int) -> tuple[list[str], Places, list[Refusal]]:
    texts, at, refused = [], [], []
    for number, value in enumerate(values):
        try:
            texts.append(text_in(value, max_record_bytes).removesuffix("\r"))
            at.append(number)
        except UnreadableError as error:  # noqa: PERF203 (one bad line is that line's fault only)
            refused.append(Refusal(number, error.reason, str(error)))
    return texts, np.array(at, np.int64), refused


def _by_pattern(column: pa.StringArray, record: Record) -> tuple[dict[str, pa.Array], Mask]:
    found = pc.extract_regex(column, record.pattern)
    fit = np.asarray(found.is_valid())
    names = [found.type.field(n).name for n in range(found.type.num_fields)]
    return {name: found.field(name) for name in names}, fit


def _by_separator(column: pa.StringArray, record: Record, texts: list[str]) -> tuple[dict[str, pa.Array], Mask]:
    """A header that stands among the lines holds for those behind it."""
    parts = pc.split_pattern(column, record.separator)
    counts, offsets = np.asarray(pc.list_value_length(parts)), np.asarray(parts.offsets)[:-1].astype(np.int64)
    headers = [n for n, text in enumerate(texts) if text.startswith(record.header)] if record.header else []
    stretches = [(-1, record.names), *((n, tuple(texts[n][len(record.header) :].split())) for n in headers)]
    fit, places = (
        np.zeros(len(texts), np.bool_),
        {name: np.full(len(texts), -1) for _, names in stretches for name in names},
    )
    for (start, names), (end, _) in zip(stretches, [*stretches[1:], (len(texts), ())], strict=True):
        rows = slice(start + 1, end)
        fit[rows] = counts[rows] == len(names)
        for number, name in enumerate(names):
            places[name][rows] = np.where(fit[rows], offsets[rows] + number, -1)
    return {name: parts.values.take(pa.array(where, mask=where < 0)) for name, where in places.items()}, fit
