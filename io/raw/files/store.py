"""The raw store in files: for one machine, and for clicks as they came, equal ones included."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from clickstream.io.errors import UserError
from clickstream.io.logs import KnownLog
from clickstream.io.raw.clicks import BUCKET_MS
from clickstream.io.raw.files.parts import read_batches, write_part
from clickstream.io.raw.files.tables import BATCHES, BUCKETS, NAME, TABLES, Piece, add_piece, known_logs, mark_buckets
from clickstream.io.raw.lease import sql_lease
from clickstream.io.raw.store import Bucket, Split
from clickstream.io.sql import SqlConnection, check_tables, one_line_errors, setup_tables
from clickstream.transforms.arrays import Mask, millis_of
from clickstream.transforms.schema import CLICK_SCHEMA


@dataclass(frozen=True)
class FileRawStoreConnection:
    """A raw store in a folder of its own.

    Attributes:
        folder: The folder; made by `set_up`.
    """

    folder: str

    @property
    def place(self) -> str:
        """The store, for people to read."""
        return f"folder {self.folder}"

    def open(self) -> "FileRawStore":
        """Opens it; nothing is made."""
        return FileRawStore(Path(self.folder))


class FileRawStore:
    """An open raw store in a folder (see `RawStore`). Only what is in its index counts: a file that isn't belongs to a run that died."""

    def __init__(self, folder: Path) -> None:
        self.place = f"folder {folder}"
        self._folder = folder
        self._index = SqlConnection("sqlite", str((folder / "index.db").absolute()))
        self._engine = self._index.engine()

    def set_up(self) -> None:
        """Makes the folder and its index, and gives it a name."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{self._folder} can't be made ({error.strerror}): name another --output_dir."
            raise UserError(message) from None
        setup_tables(self._index, TABLES)
        with self._begun() as opened:
            if opened.execute(sa.select(NAME)).first() is None:
                opened.execute(NAME.insert().values(name=os.urandom(8).hex()))

    def check(self) -> None:
        """Compares the index with what is written."""
        check_tables(self._index, TABLES)

    def name(self) -> str:
        """What tells this store from others: random, given once."""
        with self._begun() as opened:
            return str(opened.execute(sa.select(NAME)).scalar())

    def known_logs(self) -> list[KnownLog]:
        """The logs whose clicks are here, and how far they were read."""
        with self._begun() as opened:
            return known_logs(opened)

    def add(self, piece: Piece, logs: Sequence[KnownLog]) -> None:
        """Takes in what a run kept, and how far its logs were read then: both or, if it fails, neither."""
        with self._begun() as opened:
            add_piece(opened, piece, logs)

    def sweep(self) -> None:
        """Removes the files of runs that died. Only for who holds the lease."""
        with self._begun() as opened:
            known = {row.part for row in opened.execute(sa.select(BATCHES.c.part).distinct())}
        for file in self._folder.glob("*.arrow*"):
            if file.name not in known:
                file.unlink()

    def write(self, clicks: pa.Table) -> dict[int, str]:
        """Adds clicks at once, equal ones too."""
        if clicks.num_rows:
            kept = write_part(self._folder, clicks.select(CLICK_SCHEMA.names))
            self.add(Piece([kept]), [])
        return {}

    def mark(self, buckets: Collection[int]) -> None:
        """Gives buckets a new mark."""
        with self._begun() as opened:
            mark_buckets(opened, sorted(buckets))

    def buckets(self) -> list[Bucket]:
        """All buckets, by time."""
        with self._begun() as opened:
            return [Bucket(*row) for row in opened.execute(sa.select(BUCKETS).order_by("bucket"))]

    def mark_reprocessed(self, marks: Mapping[int, bytes]) -> None:
        """Notes the marks that were read before the buckets were reprocessed."""
        update = BUCKETS.update().where(BUCKETS.c.bucket == sa.bindparam("at")).values(reprocessed=sa.bindparam("mark"))
        if marks:
            with self._begun() as opened:
                opened.execute(update, [{"at": at, "mark": mark} for at, mark in marks.items()])

    def splits(self, buckets: Sequence[int]) -> list[Split]:
        """The parts with clicks between the first and the last of these buckets."""
        if not buckets:
            return []
        parts = self._batches(min(buckets), max(buckets) + BUCKET_MS)
        return [Split(first, None, last + 1, part) for part, (first, last, _) in parts.items()]

    def read(self, split: Split, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Yields a part's clicks, a record batch each."""
        _, _, numbers = self._batches(start_ms, end_ms, split.part).get(str(split.part), (0, 0, []))
        for clicks in read_batches(self._folder, str(split.part), numbers):
            millis = millis_of(clicks)
            within = (millis >= start_ms) & (millis < end_ms)
            if within.any():
                yield clicks if within.all() else clicks.filter(pa.array(within))

    def user_times(self, user_id: str, bucket_ms: int) -> list[int]:
        """When, in this bucket, the user clicked."""
        found = []
        for split in self.splits([bucket_ms]):
            for clicks in self.read(split, bucket_ms, bucket_ms + BUCKET_MS):
                found += millis_of(clicks.filter(pc.equal(clicks["user_id"], user_id))).tolist()
        return found

    def delete_user(self, user_id: str, bucket_ms: int) -> None:
        """Writes the bucket's parts anew without the user's clicks of it."""
        self._leave_out(bucket_ms, lambda clicks: np.asarray(pc.equal(clicks["user_id"], user_id)))

    def drop_bucket(self, bucket_ms: int) -> None:
        """Writes the bucket's parts anew without its clicks."""
        self._leave_out(bucket_ms, lambda clicks: np.ones(clicks.num_rows, np.bool_))
        with self._begun() as opened:
            opened.execute(BUCKETS.delete().where(BUCKETS.c.bucket == bucket_ms))

    def lease(self) -> AbstractContextManager[None]:
        """Held as long as the process lives."""
        return sql_lease(self._index, "batches")

    def close(self) -> None:
        """Nothing stays open."""

    def _leave_out(self, bucket_ms: int, which: Callable[[pa.Table], Mask]) -> None:
        for split in self.splits([bucket_ms]):
            self._rewrite(str(split.part), bucket_ms, which)

    def _rewrite(self, part: str, bucket_ms: int, which: Callable[[pa.Table], Mask]) -> None:
        with self._begun() as opened:
            numbers = list(opened.execute(sa.select(BATCHES.c.number).where(BATCHES.c.part == part)).scalars())
        clicks = pa.concat_tables(read_batches(self._folder, part, sorted(numbers)))
        millis = millis_of(clicks)
        leave = (millis >= bucket_ms) & (millis < bucket_ms + BUCKET_MS) & which(clicks)
        if not leave.any():
            return
        kept = clicks.filter(pa.array(~leave))
        replaced = write_part(self._folder, kept) if kept.num_rows else None
        with self._begun() as opened:
            opened.execute(BATCHES.delete().where(BATCHES.c.part == part))
            if replaced:
                opened.execute(BATCHES.insert(), [batch._asdict() for batch in replaced.batches])
        (self._folder / part).unlink()

    def _batches(self, start_ms: int, end_ms: int, part: str | None = None) -> dict[str, tuple[int, int, list[int]]]:
        """By part: the first and last time of its record batches that reach into [start, end), and their numbers."""
        question = sa.select(BATCHES).where(BATCHES.c.last_ms >= start_ms, BATCHES.c.first_ms < end_ms)
        question = question if part is None else question.where(BATCHES.c.part == part)
        found: dict[str, tuple[int, int, list[int]]] = {}
        with self._begun() as opened:
            for row in opened.execute(question.order_by("part", "number")):
                first, last, numbers = found.get(row.part, (row.first_ms, row.last_ms, []))
                found[row.part] = min(first, row.first_ms), max(last, row.last_ms), [*numbers, row.number]
        return found

    @contextmanager
    def _begun(self) -> Iterator[sa.engine.Connection]:
        with one_line_errors(self._index), self._engine.begin() as opened:
            yield opened
