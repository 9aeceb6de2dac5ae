"""Arrow files of clicks: sorted by time, in record batches that can be read one by one."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clickstream.io.raw.clicks import buckets_of
from clickstream.transforms.arrays import millis_of

_BATCH_ROWS = 20_000
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Batch(NamedTuple):
    """A record batch of a part, and what is in it: how many clicks, from when to when (ms since the epoch, both included)."""

    part: str
    number: int
    rows: int
    first_ms: int
    last_ms: int


class Part(NamedTuple):
    """A file of clicks: its record batches, and the time buckets (their starts, ms since the epoch) of its clicks."""

    batches: list[Batch]
    buckets: list[int]


def write_part(folder: Path, clicks: pa.Table) -> Part:
    """Writes clicks, which are at least one and have the columns that they have, to a new file. It is there, whole, when this returns."""
    millis = millis_of(clicks)
    if (np.diff(millis) < 0).any():
        order = np.argsort(millis, kind="stable")
        clicks, millis = clicks.take(pa.array(order)), millis[order]
    name = f"{os.urandom(16).hex()}.arrow"
    batches = clicks.combine_chunks().to_batches(_BATCH_ROWS)
    unfinished = folder / f"{name}.part"
    with pa.OSFile(str(unfinished), "wb") as out, pa.ipc.new_file(out, clicks.schema, options=_OPTIONS) as file:
        for batch in batches:
            file.write_batch(batch)
    unfinished.replace(folder / name)
    ends = np.cumsum([len(batch) for batch in batches])
    described = [
        Batch(name, number, len(batch), int(millis[end - len(batch)]), int(millis[end - 1]))
        for number, (batch, end) in enumerate(zip(batches, ends, strict=True))
    ]
    return Part(described, np.unique(buckets_of(millis)).tolist())


def read_batches(folder: Path, name: str, numbers: Sequence[int]) -> list[pa.Table]:
    """Some record batches of a part, a table each."""
    with pa.memory_map(str(folder / name)) as source:
        file = pa.ipc.open_file(source)
        return [pa.Table.from_batches([file.get_batch(number)]) for number in numbers]
