"""Visits in Beam: clicks wait until the watermark has passed them, so that they are looked at in order, a user's shard at a time."""

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import TupleCoder, VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Timestamp

from clickstream.transforms.measure.history import Memory, clicks_of, compacted
from clickstream.transforms.measure.pace import Pace, look_at
from clickstream.transforms.measure.visits import VISIT_SCHEMA, VisitRules, millis_of
from clickstream.transforms.measure.waiting import ARRIVED_CODER, BY_USER, Arrived, Times, in_order

_AHEAD_MS = 10  # a timer's hold on the watermark must lie before the last instant of a window that ends there
_LEAST_BYTES = 4 << 20  # of clicks that are kept are not worth compacting
_END_MS = GlobalWindow().max_timestamp().micros // 1000
_NEVER_MS = _END_MS + 1
_LOOK = TimerSpec("look", TimeDomain.WATERMARK)
_LOOK_TIMER = beam.DoFn.TimerParam(_LOOK)


class Place(NamedTuple):
    """How far a shard is: its one small cell of state, beside the bag of its clicks.

    Attributes:
        token: Another one with each change.
        next_look_ms: When waiting clicks are looked at, event time.
        done_until_ms: Up to when they were.
        looks: How often.
        number: Of what came last.
        size: Bytes of what is kept.
        compacted_size: What they were when it was last compacted.
        looked_ms, step_ms: As of `Pace`.
    """

    token: int
    next_look_ms: int
    done_until_ms: int
    looks: int
    number: int
    size: int
    compacted_size: int
    looked_ms: int
    step_ms: int

    @property
    def pace(self) -> Pace:
        """How event time goes by."""
        return Pace(self.looked_ms, self.step_ms)


_CLICKS = beam.DoFn.StateParam(BagStateSpec("clicks", ARRIVED_CODER))
_PLACE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("how_far", TupleCoder([VarIntCoder()] * len(Place._fields))))


class _Memories(dict[int, Memory]):
    """What this process has in mind, by shard."""


class TrackVisits(beam.DoFn):
    """`(shard, clicks)` to what is to be counted, as of `visits.changes`: stateful, by shard, in the global window.

    A click is looked at once the watermark has passed it, and holds it back until then. Clicks as late as `lateness_seconds` are put where they
    belong. The runner's state is added to, and seldom read: what it comes to is in the process's memory too, and holds for as long as both bear the
    same token; after a restart, a failed bundle, or in another worker it's made anew.
    """

    def __init__(self, rules: VisitRules, *, window_seconds: int, lateness_seconds: int, bounded: bool) -> None:
        self._rules, self._window_ms, self._bounded = rules, window_seconds * 1000, bounded
        # A click may lie a window's length before what is too late; twice that, because the watermark moves on while it travels.
        self._memory_ms = (lateness_seconds + 2 * window_seconds) * 1000
        self._shared = Shared()

    def setup(self) -> None:
        self._memories: _Memories = self._shared.acquire(_Memories)

    def process(self, shard: BY_USER, clicks: Any = _CLICKS, how_far: Any = _PLACE, look: Any = _LOOK_TIMER) -> None:
        key, (*times, packed) = shard
        now, stood = _now_ms(), how_far.read()
        place = Place(*stood) if stood else Place(0, _NEVER_MS, 0, 0, 0, 0, 0, now, self._window_ms)
        arrived = Arrived(place.number + 1, place.looks, Times(*times), packed)
        clicks.add(arrived)
        wanted = self._look_at([arrived.times], place.done_until_ms, place.pace.at(now))
        if wanted < place.next_look_ms:
            look.set(_timer_at(wanted))
        token = self._remember(key, place, arrived, is_first=not stood)
        next_look = min(wanted, place.next_look_ms)
        size = place.size + len(packed)
        how_far.write(place._replace(token=token, next_look_ms=next_look, number=arrived.number, size=size))

    def _remember(self, key: int, place: Place, arrived: Arrived, *, is_first: bool) -> int:
        """Has the clicks in mind too, if what went before is; returns the new token. Of bounded input there is but one look: the bag will do."""
        token = secrets.randbits(62)
        if is_first and not self._bounded:
            self._memories[key] = Memory(place.token, self._rules)
        memory = self._memories.get(key)
        if memory is not None and memory.token == place.token:
            memory.waiting.append((arrived.times, arrived))
            memory.token = token
        return token

    def _look_at(self, waiting: Iterable[Times], done_until: int, pace: Pace) -> int:
        if self._bounded:
            return _END_MS
        return min(
            (look_at(times, done_until_ms=done_until, pace=pace, window_ms=self._window_ms) for times in waiting),
            default=_NEVER_MS,
        )

    @on_timer(_LOOK)  # type: ignore[untyped-decorator]
    def look(
        self,
        key: Any = beam.DoFn.KeyParam,
        clicks: Any = _CLICKS,
        how_far: Any = _PLACE,
        look: Any = _LOOK_TIMER,
    ) -> Iterator[pa.Table]:
        place = Place(*how_far.read())
        until = max(place.next_look_ms, place.done_until_ms)
        memory = self._memory(key, place, clicks)
        ready = memory.ready(until)
        rows = memory.take_in(ready, self._known_to_late(ready, place, clicks), until_ms=until)
        place = self._after(place, memory, until)
        if memory.waiting:
            look.set(_timer_at(place.next_look_ms))
        if place.size > place.compacted_size + max(place.compacted_size, _LEAST_BYTES) and not self._bounded:
            place = self._compacted(place, clicks)
        how_far.write(place)
        if rows.num_rows:
            yield rows

    def _memory(self, key: int, place: Place, clicks: Any) -> Memory:
        """What is known of a shard: as it is in mind, or else made anew."""
        memory = self._memories.pop(key, None)  # if this fails, it's no more what it says
        if memory is None or memory.token != place.token:
            kept = in_order(clicks.read())
            memory = Memory.of(
                place.token, kept, looks=place.looks, done_until_ms=place.done_until_ms, rules=self._rules
            )
        if not self._bounded:
            self._memories[key] = memory
        return memory

    def _known_to_late(self, ready: pa.Table, place: Place, clicks: Any) -> pa.Table:
        """All clicks that late ones may come between; only for these the bag is opened."""
        millis = millis_of(ready)
        late = millis < place.done_until_ms
        if not late.any():
            return VISIT_SCHEMA.empty_table()
        users = ready["user_id"].filter(pa.array(late)).unique()
        looked_at = (each for each in in_order(clicks.read()) if each.looks < place.looks)
        since = int(millis[late].min()) - 2 * (self._rules.session_gap_ms or 0)
        return clicks_of(users, looked_at, before_ms=place.done_until_ms, since_ms=since)

    def _after(self, place: Place, memory: Memory, until: int) -> Place:
        """Where a shard is after a look."""
        pace = place.pace.after(until - place.done_until_ms, _now_ms(), self._window_ms)
        memory.token = secrets.randbits(62)
        return place._replace(
            token=memory.token,
            next_look_ms=self._look_at((times for times, _ in memory.waiting), until, pace),
            done_until_ms=until,
            looks=place.looks + 1,
            **pace._asdict(),
        )

    def _compacted(self, place: Place, clicks: Any) -> Place:
        """Forgets what no late click can meet, once what is kept has doubled."""
        kept = compacted(in_order(clicks.read()), since_ms=place.done_until_ms - self._memory_ms, rules=self._rules)
        clicks.clear()
        for each in kept:
            clicks.add(each)
        size = sum(len(each.packed) for each in kept)
        return place._replace(size=size, compacted_size=size)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _timer_at(millis: int) -> Timestamp:
    return Timestamp(micros=(millis if millis == _END_MS else millis - _AHEAD_MS) * 1000)
