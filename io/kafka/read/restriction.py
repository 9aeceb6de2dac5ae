"""What a group of partitions still has to read: the restriction of the Kafka reader, its coder and its tracker."""

import struct
from typing import NamedTuple

from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from clickstream.io.kafka.watermark import NEVER

_FOREVER = -1


class PartitionState(NamedTuple):
    """How far a partition has been read.

    Attributes:
        partition: Its number.
        run_start: The offset at which this run began.
        next: The first offset that hasn't been read.
        end: The offset at which a bounded run ends; -1: it doesn't.
        latest: The latest event time seen, ms since the epoch; NEVER if none.
        complete_until: The event time up to which windows were complete before this run, ms since the epoch. A click of
            one of them is too late, as it was then: this run may know but a part of its window.
        last_record_at: When it last had a record, or the brokers didn't answer, ms since the epoch; NEVER: not yet.
            Whichever worker reads on, and after whatever restart, knows from it for how long there has been nothing.
    """

    partition: int
    run_start: int
    next: int
    end: int = _FOREVER
    latest: int = NEVER
    complete_until: int = NEVER
    last_record_at: int = NEVER

    @property
    def done(self) -> bool:
        """Whether there's nothing left to read in this run."""
        return 0 <= self.end <= self.next


GroupState = tuple[PartitionState, ...]


class GroupStateCoder(Coder):
    """Seven 64-bit numbers a partition."""

    _ROW = struct.Struct("<7q")

    def encode(self, value: GroupState) -> bytes:
        return b"".join(self._ROW.pack(*state) for state in value)

    def decode(self, encoded: bytes) -> GroupState:
        return tuple(PartitionState(*row) for row in self._ROW.iter_unpack(encoded))

    def is_deterministic(self) -> bool:
        return True


class GroupTracker(RestrictionTracker):
    """Claims whole polls: a position is the state of the group after the poll.

    It splits only where it stands. Prism asks for splits by fraction of what is left, which an endless input hasn't.
    """

    def __init__(self, state: GroupState) -> None:
        self._state = state
        self._stopped = False

    def current_restriction(self) -> GroupState:
        return self._state

    def try_claim(self, position: GroupState) -> bool:
        if not self._stopped:
            self._state = position
        return not self._stopped

    def try_split(self, fraction_of_remainder: float) -> tuple[GroupState, GroupState] | None:
        if fraction_of_remainder != 0 or self._stopped or self._all_read():
            return None
        self._stopped = True
        rest = self._state
        self._state = tuple(state._replace(end=state.next) for state in rest)
        return self._state, rest

    def check_done(self) -> None:
        if not self._stopped and not self._all_read():
            message = "The Kafka reader ended before its partitions did."
            raise ValueError(message)

    def is_bounded(self) -> bool:
        return all(state.end != _FOREVER for state in self._state)

    def current_progress(self) -> RestrictionProgress:
        read = sum(state.next - state.run_start for state in self._state)
        left = sum(max(state.end - state.next, 0) for state in self._state)
        # Beam puts bytes for what is completed, not a number until it has seen some: of that alone it would make a split that fails the bundle.
        return RestrictionProgress(fraction=read / (read + left) if left else 1.0, completed=read, remaining=left)

    def _all_read(self) -> bool:
        return all(state.done for state in self._state)


class GroupRestrictions(RestrictionProvider):
    """The element is the group's state at the start: nothing is looked up here: a retry begins as the first try did."""

    def initial_restriction(self, element: GroupState) -> GroupState:
        return element

    def create_tracker(self, restriction: GroupState) -> GroupTracker:
        return GroupTracker(restriction)

    def restriction_size(self, element: GroupState, restriction: GroupState) -> int:
        return max(1, sum(state.end - state.next for state in restriction))

    def restriction_coder(self) -> Coder:
        return GroupStateCoder()
