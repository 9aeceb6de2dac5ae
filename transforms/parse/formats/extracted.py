"""What paths led to in a batch's events: for each path the values' kinds, and their texts as they are written."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Mask
from clickstream.transforms.lines import Places
from clickstream.transforms.parse.formats.json_values import (
    NONE,
    OTHER,
    TEXT,
    UnreadableError,
    decode_object,
    kind_and_text,
)
from clickstream.transforms.parse.formats.paths import Path
from clickstream.transforms.parse.reader import Refusal

Kinds = npt.NDArray[np.int8]


class PathColumn(NamedTuple):
    """The values at one path: kinds as in `json_values`, and texts, null where there is no value."""

    kinds: Kinds
    texts: pa.StringArray

    def there(self) -> Mask:
        """Which are neither missing, null nor empty."""
        lengths = np.asarray(pc.fill_null(pc.binary_length(self.texts), 0))
        return (lengths > 0) | (self.kinds == OTHER)

    def only(self, mask: Mask) -> "PathColumn":
        """The marked ones; the others have no value."""
        if mask.all():
            return self
        return PathColumn(
            np.where(mask, self.kinds, NONE).astype(np.int8), pc.if_else(pa.array(mask), self.texts, None)
        )

    def filled(self, mask: Mask, text: str) -> "PathColumn":
        """With another text in the marked places."""
        return self._replace(texts=pc.if_else(pa.array(mask), text, self.texts)) if mask.any() else self

    def filter(self, mask: Mask) -> "PathColumn":
        """The marked ones alone."""
        return PathColumn(self.kinds[mask], self.texts.filter(pa.array(mask)))


class Extracted(NamedTuple):
    """The events that could be read, a column a path, `kept`: each one's number in the batch, and why the others couldn't."""

    columns: list[PathColumn]
    kept: Places
    refused: list[Refusal]


def column_of(values: Sequence[tuple[int, str | None]]) -> PathColumn:
    """Of kinds and texts."""
    kinds = np.fromiter((kind for kind, _ in values), np.int8, len(values))
    return PathColumn(kinds, pa.array([text for _, text in values], pa.string()))


def texts_column(texts: pa.StringArray, nulls: Sequence[str] = ()) -> PathColumn:
    """Of texts, some of which may stand for nothing."""
    if nulls:
        texts = pc.if_else(pc.is_in(texts, value_set=pa.array(nulls, pa.string())), None, texts)
    return PathColumn(np.where(np.asarray(texts.is_valid()), TEXT, NONE).astype(np.int8), texts)


def read_singly(values: Sequence[bytes], paths: Sequence[Path], max_record_bytes: int) -> Extracted:
    """Decodes each event by itself, and follows the paths."""
    rows: list[list[tuple[int, str | None]]] = []
    kept, refused = [], []
    for number, value in enumerate(values):
        try:
            event: Any = decode_object(value, max_record_bytes)
        except UnreadableError as error:
            refused.append(Refusal(number, error.reason, str(error)))
            continue
        rows.append([kind_and_text(path.find(event)) for path in paths])
        kept.append(number)
    columns = [column_of([row[number] for row in rows]) for number in range(len(paths))]
    return Extracted(columns, np.array(kept, np.int64), refused)


def merged(first: Extracted, second: Extracted, second_at: Places) -> Extracted:
    """Both in the order of the batch; `second_at`: its records' numbers there."""
    refused = [refusal._replace(number=int(second_at[refusal.number])) for refusal in second.refused]
    if not len(second.kept):
        return first._replace(refused=[*first.refused, *refused])
    kept = np.concatenate([first.kept, second_at[second.kept]])
    order = np.argsort(kept)
    columns = [
        PathColumn(
            np.concatenate([one.kinds, other.kinds])[order],
            pa.concat_arrays([one.texts, other.texts]).take(pa.array(order)),
        )
        for one, other in zip(first.columns, second.columns, strict=True)
    ]
    return Extracted(columns, kept[order], [*first.refused, *refused])
