"""Breakdowns: clicks by browser or campaign, say, instead of by page; and the one column in which clicks carry all of these."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIMENSIONS = ("browser", "os", "device", "city", "referrer", "channel", "campaign")
OTHER = "(other)"  # all values of a window but those that have most clicks
DEFAULT_VALUES = 1000
_NAME = re.compile(rf"(^|_)by_({'|'.join(DIMENSIONS)})(_1h|_1d)?$")
_BETWEEN = "\x1f"  # stands between the values of a click; in a value it's a blank


@dataclass(frozen=True)
class Breakdowns:
    """What clicks are broken down by.

    Attributes:
        names: Of `DIMENSIONS`, each once. Traits hold their values in this order.
        most_values: How many values of a dimension a window has rows of; the others are counted together, as `OTHER`.

    Raises:
        ValueError: There is no such dimension, or the bound is below 1.
    """

    names: tuple[str, ...] = ()
    most_values: int = DEFAULT_VALUES

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in DIMENSIONS]
        if unknown or len(set(self.names)) < len(self.names):
            message = f"Breakdowns: {', '.join(unknown or self.names)}: choose from {', '.join(DIMENSIONS)}, each once."
            raise ValueError(message)
        if self.most_values < 1:
            message = "Breakdowns: most_values must be at least 1."
            raise ValueError(message)


def holds_breakdown(name: str) -> bool:
    """Whether a table or an index of this name, or what stands behind its windows' name, holds rows of a breakdown."""
    return bool(_NAME.search(name))


def traits_of(clicks: pa.Table, names: Sequence[str]) -> pa.Array:
    """What clicks are broken down by, a text each: their values of these dimensions. A value that a click lacks is empty."""
    nothing = pa.nulls(clicks.num_rows, pa.string())
    given = (clicks[name].combine_chunks() if name in clicks.column_names else nothing for name in names)
    return pc.binary_join_element_wise(*(_plain(column) for column in given), _BETWEEN)


def _plain(values: pa.Array) -> pa.Array:
    texts = pc.utf8_trim_whitespace(pc.fill_null(values, ""))
    return pc.replace_substring(texts, _BETWEEN, " ") if pc.any(pc.match_substring(texts, _BETWEEN)).as_py() else texts


def values_of(traits: pa.StringArray, dimensions: int) -> list[pa.StringArray]:
    """Of traits the values of each of so many dimensions; empty where traits hold none."""
    short = pc.less(pc.count_substring(traits, _BETWEEN), dimensions - 1)
    if pc.any(short).as_py():  # summed up before there were as many
        traits = pc.if_else(short, pc.binary_join_element_wise(traits, _BETWEEN * dimensions, ""), traits)
    parts = pc.split_pattern(traits, _BETWEEN)
    values, starts = parts.values, np.asarray(parts.offsets)[:-1]
    return [values.take(pa.array(starts + place)) for place in range(dimensions)]
