"""From what paths led to, to the columns that `check_clicks` takes: first of several, types, units, base URLs, conditions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Mask
from clickstream.transforms.limits import LONGEST_SECONDS, MAX_TEXT_LENGTH
from clickstream.transforms.parse.formats.clock import millis_of, numbers_of
from clickstream.transforms.parse.formats.extracted import PathColumn
from clickstream.transforms.parse.formats.json_values import FALSE, NONE, NUMBER, OTHER, TEXT, TRUE
from clickstream.transforms.parse.formats.mapping import (
    REQUIRED,
    SECONDS,
    TIMES,
    Condition,
    EventFormat,
    Source,
    Sources,
)
from clickstream.transforms.parse.formats.paths import Path
from clickstream.transforms.schema import UTC_MS

Columns: TypeAlias = Mapping[Path, PathColumn]
Refuse: TypeAlias = Callable[[Mask, str, str], None]

_PER_SECOND = {"": 1.0, "s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_KINDS = {NUMBER: "a number", TRUE: "a boolean", FALSE: "a boolean", OTHER: "an object or an array"}
_ABSOLUTE = r"^[A-Za-z][A-Za-z0-9+.-]*:"


class _Chosen(NamedTuple):
    """Of each event the first source's value that is there, and which source that is; -1: none."""

    column: PathColumn
    picked: np.ndarray
    each: list[PathColumn]


def are_clicks(columns: Columns, only: Sequence[Condition], count: int) -> Mask:
    """Which events are clicks."""
    good = np.ones(count, np.bool_)
    for condition in only:
        good &= _holds(condition, _choose(columns, condition.sources, count).column)
    return good


def _holds(condition: Condition, column: PathColumn) -> Mask:
    good = column.there() & (column.kinds != OTHER)
    if condition.values is not None:
        good &= np.asarray(pc.is_in(column.texts, value_set=pa.array(condition.values, pa.string())))
    if condition.pattern:
        good &= np.asarray(pc.match_substring_regex(column.texts, condition.pattern).fill_null(False))
    return ~good if condition.negated else good


def make_fields(
    columns: Columns, names: Iterable[str], event_format: EventFormat, count: int, refuse: Refuse
) -> dict[str, pa.Array]:
    """The fields of clicks as `check_clicks` takes them.

    Args:
        columns: What the paths of the format led to.
        names: The fields to make.
        event_format: Where they come from.
        count: How many events there are.
        refuse: Is called for those whose required fields are missing or of a wrong type, with reason and detail; an optional field that is no
            good is null, and one that is too long is cut.
    """
    made = {}
    for name in names:
        chosen = _choose(columns, event_format.sources(name), count)
        if name in REQUIRED:
            refuse(chosen.picked < 0, "missing_field", f"{event_format.named(name)}: missing")
        if name in TIMES:
            made[name] = _times(name, chosen, event_format, refuse)
        elif name in SECONDS:
            made[name] = _seconds(chosen, event_format)
        else:
            made[name] = _texts(name, chosen, event_format, refuse)
    return made


def _choose(columns: Columns, sources: Sources, count: int) -> _Chosen:
    picked, texts = np.full(count, -1), pa.nulls(count, pa.string())
    kinds, each = np.full(count, NONE, np.int8), []
    for number, source in enumerate(sources):
        column = _evaluated(columns, source, count)
        each.append(column)
        mask = column.there() & (picked < 0)
        if mask.any():
            picked[mask], kinds[mask] = number, column.kinds[mask]
            texts = column.texts if mask.all() else pc.if_else(pa.array(mask), column.texts, texts)
    return _Chosen(PathColumn(kinds, texts), picked, each)


def _evaluated(columns: Columns, source: Source, count: int) -> PathColumn:
    whole = _whole(columns, source, count)
    if not source.part:
        return whole
    found = pc.extract_regex(whole.texts, source.part)
    return PathColumn(whole.kinds, found.field(0)).only(np.asarray(found.is_valid()))


def _whole(columns: Columns, source: Source, count: int) -> PathColumn:
    parts = [columns[part] if isinstance(part, Path) else part for part in source.parts]
    if len(parts) == 1 and isinstance(parts[0], PathColumn):
        return parts[0]
    found = [part for part in parts if isinstance(part, PathColumn)]
    there = np.all([part.there() for part in found], axis=0) if found else np.ones(count, np.bool_)
    texts = [part.texts if isinstance(part, PathColumn) else pa.array([part] * count, pa.string()) for part in parts]
    kinds = np.full(count, TEXT, np.int8)
    for part in found:
        kinds[part.kinds == OTHER] = OTHER
    return PathColumn(kinds, pc.binary_join_element_wise(*texts, "")).only(there)


def _texts(name: str, chosen: _Chosen, event_format: EventFormat, refuse: Refuse) -> pa.StringArray:
    column, required = chosen.column, name in REQUIRED
    taken = {TEXT, NUMBER, TRUE, FALSE} if event_format.lenient and name != "url" else {TEXT}
    wrong = [kind for kind in _KINDS if kind not in taken and (column.kinds == kind).any()]
    for kind in wrong:
        mask = column.kinds == kind
        if required:
            refuse(mask, "wrong_type", f"{event_format.named(name)}: {_KINDS[kind]} where a text belongs")
        column = column.only(~mask)
    if name == "url":
        column = _with_bases(column, chosen.picked, event_format.sources(name))
    if required or name == "country":  # one that isn't known is empty
        return column.texts.fill_null("")
    return column.texts if name == "referrer" else pc.utf8_slice_codeunits(column.texts, 0, MAX_TEXT_LENGTH)


def _with_bases(column: PathColumn, picked: np.ndarray, sources: Sources) -> PathColumn:
    texts = column.texts
    for number, source in enumerate(sources):
        mask = picked == number
        if source.base and mask.any():
            relative = pa.array(mask & ~np.asarray(pc.match_substring_regex(texts, _ABSOLUTE).fill_null(True)))
            base = source.base.rstrip("/")
            between = pc.if_else(pc.starts_with(texts, "/"), base, f"{base}/")
            texts = pc.if_else(relative, pc.binary_join_element_wise(between, texts, ""), texts)
    return column._replace(texts=texts)


def _times(name: str, chosen: _Chosen, event_format: EventFormat, refuse: Refuse) -> pa.Array:
    count = len(chosen.picked)
    millis, valid = np.full(count, -1, np.int64), np.zeros(count, np.bool_)
    if name in REQUIRED:
        for kind in (TRUE, FALSE, OTHER):
            detail = f"{event_format.named(name)}: {_KINDS[kind]} where a time belongs"
            refuse(chosen.column.kinds == kind, "wrong_type", detail)
    for number, source in enumerate(event_format.sources(name)):
        mask = chosen.picked == number
        if mask.any():
            found, good = millis_of(chosen.each[number].only(mask), source, lenient=event_format.lenient)
            millis, valid = np.where(mask, found, millis), valid | (good & mask)
    return pa.array(millis, mask=~valid).cast(UTC_MS)


def _seconds(chosen: _Chosen, event_format: EventFormat) -> pa.DoubleArray:
    seconds = np.full(len(chosen.picked), np.nan)
    for number, source in enumerate(event_format.sources("time_spent")):
        mask = chosen.picked == number
        if mask.any():
            numbers = numbers_of(chosen.each[number].only(mask), texts=event_format.lenient or bool(source.unit))
            seconds = np.where(mask, numbers / _PER_SECOND[source.unit], seconds)
    good = (seconds >= 0) & (seconds <= LONGEST_SECONDS)
    return pa.array(np.where(good, seconds, 0.0), mask=~good)
