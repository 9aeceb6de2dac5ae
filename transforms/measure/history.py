"""What is remembered of clicks while more may come, and what clicks that are now in order change."""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from clickstream.transforms.measure.visits import (
    VisitRules,
    changes,
    last_two_of_each_user,
    millis_of,
    of_users,
    put_in_order,
)


class Settled(NamedTuple):
    """What became of clicks.

    Attributes:
        rows: What is to be counted because of them, as of `changes`.
        latest: The latest two clicks of each user whom a later one may follow (VISIT_SCHEMA).
        processed: The clicks themselves, each once (VISIT_SCHEMA).
    """

    rows: pa.Table
    latest: pa.Table
    processed: pa.Table


def settle(
    ready: pa.Table,
    latest: pa.Table,
    history: Callable[[], pa.Table],
    *,
    done_until_ms: float,
    until_ms: float,
    rules: VisitRules,
) -> Settled:
    """Takes in clicks before `until_ms`, given what is remembered of those before `done_until_ms`.

    A click behind `done_until_ms` follows its user's latest one. A late one may come between two others, or be one of them again: only then is
    the history opened, and only its user is looked at.

    Args:
        ready: New clicks (VISIT_SCHEMA), any order.
        latest: As this gave out before.
        history: Opens what was processed before, as far back as a late click's neighbours may be.
        done_until_ms: Event time, ms since the epoch, up to which clicks were taken in before.
        until_ms: That up to which they are now.
        rules: How visits are told apart.
    """
    returning = of_users(latest, ready["user_id"])
    known = latest.filter(pa.array(returning))
    late = millis_of(ready) < done_until_ms
    if late.any():
        slow = ready["user_id"].filter(pa.array(late))
        past = history()
        known = pa.concat_tables(
            [known.filter(pa.array(~of_users(known, slow))), past.filter(pa.array(of_users(past, slow)))]
        )
    ordered = put_in_order(known, ready, deduplicate=rules.deduplicate)
    newest = pa.concat_tables([latest.filter(pa.array(~returning)), last_two_of_each_user(ordered)])
    reached = newest.filter(pa.array(millis_of(newest) >= until_ms - 2 * (rules.session_gap_ms or 0)))
    return Settled(changes(ordered, rules), reached, ordered.clicks.filter(pa.array(ordered.new)))


def recent(history: pa.Table, *, since_ms: float, rules: VisitRules) -> pa.Table:
    """What a late click at or behind `since_ms` may still meet: clicks from then on, and each user's last two before."""
    millis = millis_of(history)
    before = history.filter(pa.array((millis < since_ms) & (millis >= since_ms - 2 * (rules.session_gap_ms or 0))))
    last = last_two_of_each_user(put_in_order(before.slice(0, 0), before, deduplicate=False))
    return pa.concat_tables([last, history.filter(pa.array(millis >= since_ms))]).combine_chunks()
