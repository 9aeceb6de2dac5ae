"""What a raw store does, whichever it is: every accepted click once, by time bucket and shard, and which buckets got new ones."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import pyarrow as pa

from clickstream.io.errors import UserError


class RawStoreUnavailableError(UserError):
    """The store can't be reached or is overloaded: it may pass by itself."""


class Bucket(NamedTuple):
    """A time bucket that holds clicks, or held some.

    Attributes:
        start_ms: Its start, ms since the epoch.
        changed: A mark that each write to the bucket replaces by another one.
        reprocessed: The mark up to which it is reprocessed; None: never was.
    """

    start_ms: int
    changed: bytes
    reprocessed: bytes | None

    @property
    def is_new(self) -> bool:
        """Whether it got clicks since it was reprocessed."""
        return self.changed != self.reprocessed


class Split(NamedTuple):
    """A part of the store that one worker reads: a bucket's shard, or all shards of it together (None); or a file (`part`) of any times.

    Attributes:
        bucket_ms: Where the times of its clicks begin, ms since the epoch.
        shard: The shard of users.
        end_ms: Where they end, not included; None: with the bucket.
        part: The file.
    """

    bucket_ms: int
    shard: int | None = None
    end_ms: int | None = None
    part: str | None = None


class RawStore(Protocol):
    """An open store. Methods raise `RawStoreUnavailableError` for what may pass by itself, and `UserError` for what doesn't.

    Attributes:
        place: The store, for people to read.
    """

    place: str

    def set_up(self) -> None:
        """Creates what is missing. Several workers may do it at once."""

    def check(self) -> None:
        """Raises a UserError if what is there has another schema: what was found, what is needed, how to mend it."""

    def write(self, clicks: pa.Table) -> dict[int, str]:
        """Stores clicks (RAW_CLICK_SCHEMA, as `keyed` gives them); one that is there already is replaced by its equal.

        When it returns, they survive a crash of the server. Returns the rows refused for their content, and why; all others are stored.
        """

    def mark(self, buckets: Collection[int]) -> None:
        """Gives buckets a new `changed` mark. Called after clicks are written, and before some are removed."""

    def buckets(self) -> list[Bucket]:
        """All buckets, by time."""

    def mark_reprocessed(self, marks: Mapping[int, bytes]) -> None:
        """Notes the `changed` marks, by bucket, that were read before the bucket was reprocessed."""

    def splits(self, buckets: Sequence[int]) -> list[Split]:
        """What there is to read of these buckets."""

    def read(self, split: Split, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Yields the split's clicks in [start_ms, end_ms), as tables of CLICK_SCHEMA."""

    def user_times(self, user_id: str, bucket_ms: int) -> list[int]:
        """When, in this bucket, the user clicked, ms since the epoch."""

    def delete_user(self, user_id: str, bucket_ms: int) -> None:
        """Removes the user's clicks of this bucket."""

    def drop_bucket(self, bucket_ms: int) -> None:
        """Removes a bucket with all its clicks."""

    def lease(self) -> AbstractContextManager[None]:
        """Held by one reprocessing job at a time. Raises a UserError if another one holds it; a dead holder's ends within minutes."""

    def close(self) -> None:
        """Ends the connection."""


class RawStoreConnection(Protocol):
    """Where a store is. Holds no secret, and may be pickled."""

    @property
    def place(self) -> str:
        """The store, for people to read."""

    def open(self) -> RawStore:
        """Connects. Resolves passwords: call it on the worker."""
