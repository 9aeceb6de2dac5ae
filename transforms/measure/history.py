"""What is remembered of clicks while more may come, and what clicks that are now in order change."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.measure.latest import LatestClicks
from clickstream.transforms.measure.visits import (
    VISIT_SCHEMA,
    VisitRules,
    changes,
    last_two_of_each_user,
    millis_of,
    of_users,
    put_in_order,
)
from clickstream.transforms.measure.waiting import Arrived, Times

_ROWS_TOGETHER = 200_000


class Memory:
    """What a worker has in mind of a shard, beside what the runner keeps of it: all of it can be made anew from that.

    Attributes:
        token: What the runner's state must bear for this to be what it says: it changes with each change of both.
        waiting: Clicks that wait for the watermark, in the order in which they came, and their times.
    """

    def __init__(self, token: int, rules: VisitRules) -> None:
        self.token, self.waiting = token, list[tuple[Times, Arrived | pa.Table]]()
        self._latest, self._rules = LatestClicks(), rules

    @classmethod
    def of(cls, token: int, kept: Iterable[Arrived], *, looks: int, done_until_ms: int, rules: VisitRules) -> "Memory":
        """Made anew of all clicks that are kept of a shard that was looked at so often, up to a time."""
        memory, done = cls(token, rules), [VISIT_SCHEMA.empty_table()]
        for each in kept:
            if each.looks == looks:
                memory.waiting.append((each.times, each))
                continue
            before, rest = _divided(each.table(), done_until_ms)
            done.append(before)
            memory.wait(rest)
        memory.take_in(pa.concat_tables(done), VISIT_SCHEMA.empty_table(), until_ms=done_until_ms)
        return memory

    def wait(self, visits: pa.Table) -> None:
        """Lets clicks wait, if there are any."""
        if visits.num_rows:
            self.waiting.append((Times.of(visits), visits))

    def ready(self, until_ms: int) -> pa.Table:
        """Takes out the clicks before a time (VISIT_SCHEMA)."""
        items, self.waiting = self.waiting, []
        ready = [VISIT_SCHEMA.empty_table()]
        for times, clicks in items:
            if times.first_ms >= until_ms:
                self.waiting.append((times, clicks))
                continue
            before, rest = _divided(clicks.table() if isinstance(clicks, Arrived) else clicks, until_ms)
            ready.append(before)
            self.wait(rest)
        return pa.concat_tables(ready).combine_chunks()

    def take_in(self, ready: pa.Table, late_known: pa.Table, *, until_ms: int) -> pa.Table:
        """Takes in clicks before `until_ms`.

        Args:
            ready: New clicks (VISIT_SCHEMA); of equal ones the first counts.
            late_known: All that is known of the users of late ones, as far back as these go: of others the latest two clicks will do.
            until_ms: Event time, ms since the epoch.

        Returns:
            What is to be counted because of them, as of `changes`.
        """
        known = self._latest.of(ready["user_id"])
        if late_known.num_rows:
            known = pa.concat_tables([known.filter(pa.array(~of_users(known, late_known["user_id"]))), late_known])
        ordered = put_in_order(known, ready, deduplicate=self._rules.deduplicate)
        reach_ms = 2 * (self._rules.session_gap_ms or 0)
        self._latest.replace(last_two_of_each_user(ordered), since_ms=until_ms - reach_ms)
        return changes(ordered, self._rules)


def clicks_of(users: pa.ChunkedArray, kept: Iterable[Arrived], *, before_ms: int, since_ms: int) -> pa.Table:
    """All clicks of some users before a time, in the order in which they came, and as far back as `since_ms`, maybe further."""
    found = [VISIT_SCHEMA.empty_table()]
    for each in kept:
        if each.times.last_ms >= since_ms and each.times.first_ms < before_ms:
            visits = each.table()
            visits = visits.filter(pc.is_in(visits["user_id"], value_set=users))
            found.append(visits.filter(pa.array(millis_of(visits) < before_ms)))
    return pa.concat_tables(found).combine_chunks()


def compacted(kept: Sequence[Arrived], *, since_ms: int, rules: VisitRules) -> list[Arrived]:
    """The same clicks, but of those that came and lie before a time only what later ones may still meet: each user's last two.

    What came together, some before the time and some behind it, stays as it is: nothing is unpacked that needn't be.
    """
    reach_ms = since_ms - 2 * (rules.session_gap_ms or 0)
    stay = [each for each in kept if each.times.last_ms >= since_ms]
    old = (each.table() for each in kept if reach_ms <= each.times.last_ms < since_ms)
    last = VISIT_SCHEMA.empty_table()
    for visits in _together(old):
        last = last_two_of_each_user(put_in_order(last, visits, deduplicate=rules.deduplicate))
    last = last.filter(pa.array(millis_of(last) >= reach_ms)).combine_chunks()
    return [Arrived.of(0, 0, last), *stay] if last.num_rows else stay


def _together(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables, so that what each is put beside isn't sorted for every few of them."""
    some, rows = list[pa.Table](), 0
    for table in tables:
        some.append(table)
        rows += table.num_rows
        if rows >= _ROWS_TOGETHER:
            yield pa.concat_tables(some)
            some, rows = [], 0
    if some:
        yield pa.concat_tables(some)


def _divided(visits: pa.Table, until_ms: int) -> tuple[pa.Table, pa.Table]:
    """The clicks before a time, and the others."""
    before = millis_of(visits) < until_ms
    if before.all() or not np.any(before):
        return (visits, visits.slice(0, 0)) if before.all() else (visits.slice(0, 0), visits)
    return visits.filter(pa.array(before)), visits.filter(pa.array(~before))
