"""Visits: which click follows which, user by user, and what more clicks change about those that came before.

All of it is a function of the set of clicks, so that their order of arrival, and how they are cut into batches, can't matter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Int64s, Mask
from clickstream.transforms.breakdowns import traits_of
from clickstream.transforms.schema import UTC_MS

# What is remembered of a click: `event` tells apart clicks that are equal otherwise, `counted` is false for one that only shows what came before
# or after others, `time_spent_ms` is what another policy than dwell says, and `traits` what it's broken down by (null: by nothing).
VISIT_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("timestamp", UTC_MS, nullable=False),
        pa.field("event", pa.int32(), nullable=False),
        pa.field("counted", pa.bool_(), nullable=False),
        pa.field("time_spent_ms", pa.int64()),
        pa.field("traits", pa.string()),
    ]
)
_CONTENT = ["url", "country", "event"]


class VisitRules(NamedTuple):
    """How visits are told apart.

    Attributes:
        session_gap_ms: A user's click this long after the one before, or less, is of the same session, and ends the time spent on
            that one. None: times are those that the clicks bring along, and sessions aren't told.
        deduplicate: Clicks of the same user, time, page, country and row key are one.
        traits: Whether clicks have traits that are passed on.
    """

    session_gap_ms: int | None
    deduplicate: bool
    traits: bool = False


class _Measured(NamedTuple):
    """What is known of ordered clicks: time spent in ms (-1: not known), whether each starts a session, and whether it is all of it."""

    time_spent_ms: Int64s
    starts_session: Mask
    bounced: Mask

    def at(self, rows: Int64s | Mask) -> "_Measured":
        return _Measured(self.time_spent_ms[rows], self.starts_session[rows], self.bounced[rows])


class Ordered(NamedTuple):
    """Clicks (VISIT_SCHEMA) by user, then in order of time (simultaneous ones by URL, country, row key), each once; and which of them are new."""

    clicks: pa.Table
    users: Int64s
    millis: Int64s
    new: Mask


def visit_columns(clicks: pa.Table, *, counted: bool = True, traits: Sequence[str] = ()) -> pa.Table:
    """Clicks as VISIT_SCHEMA.

    Args:
        clicks: CLICK_SCHEMA's columns user_id, timestamp, url, country and row_key; time_spent_ms if a policy has set it; and `traits`.
        counted: See VISIT_SCHEMA.
        traits: The columns that clicks are broken down by.
    """
    keys = pl.Series(values=clicks["row_key"], dtype=pl.String)
    size = clicks.num_rows
    columns = {
        **{name: clicks[name] for name in ("url", "country", "user_id", "timestamp")},
        "event": (keys.hash().to_numpy() >> np.uint64(33)).astype(np.int32),
        "counted": np.full(size, counted),
        "time_spent_ms": clicks["time_spent_ms"] if "time_spent_ms" in clicks.column_names else pa.nulls(size),
        "traits": traits_of(clicks, traits) if traits else pa.nulls(size, pa.string()),
    }
    return pa.table([columns[field.name] for field in VISIT_SCHEMA], schema=VISIT_SCHEMA)


def put_in_order(known: pa.Table, new: pa.Table, *, deduplicate: bool) -> Ordered:
    """Merges new clicks into known ones, both VISIT_SCHEMA in any order. Of equal ones a known one stays."""
    clicks = pa.concat_tables([known, new]).combine_chunks()
    users = np.asarray(clicks["user_id"].combine_chunks().dictionary_encode().indices).astype(np.int64)
    millis = millis_of(clicks)
    is_new = np.arange(len(users)) >= known.num_rows
    order = np.lexsort((millis, users))
    same = np.diff(users[order]) == 0
    same &= np.diff(millis[order]) == 0
    if same.any():
        order = _break_ties(clicks, order, same, is_new, deduplicate=deduplicate)
    return Ordered(clicks.take(pa.array(order)), users[order], millis[order], is_new[order])


def _break_ties(clicks: pa.Table, order: Int64s, same: Mask, is_new: Mask, *, deduplicate: bool) -> Int64s:
    """Orders simultaneous clicks of a user by content, and leaves out equal ones."""
    tied = np.append(same, False) | np.append(False, same)
    group = np.cumsum(np.append(True, ~same))[tied]
    rows = order[tied]
    content = pl.DataFrame(pl.from_arrow(clicks.select([*_CONTENT, "traits"]).take(pa.array(rows))))
    content = content.with_columns(group=pl.Series(group), new=pl.Series(is_new[rows]), row=pl.Series(rows))
    content = content.sort("group", *_CONTENT, "new", "traits", "row")
    order = order.copy()
    order[tied] = content["row"].to_numpy()
    if not deduplicate:
        return order
    equal = content.select(pl.all_horizontal(pl.col("group", *_CONTENT) == pl.col("group", *_CONTENT).shift(1)))
    keep = np.ones(len(order), np.bool_)
    keep[tied] = ~equal.to_series().fill_null(value=False).to_numpy()
    return order[keep]


def changes(ordered: Ordered, rules: VisitRules) -> pa.Table:
    """What is to be counted because of the new clicks.

    Returns:
        A row a new click, with `sign` 1; and where they change what was said of a known click, that with `sign` -1 and what is right now
        with 1. Columns url, country, user_id, timestamp, traits (where the rules ask for them), time_spent_ms (null: not known), sign, and,
        where sessions are told, starts_session and bounced.
    """
    counted = np.asarray(ordered.clicks["counted"])
    now = _measure(ordered, np.ones(len(counted), np.bool_), rules)
    known = ~ordered.new
    before = _measure(ordered, known, rules)
    changed = np.zeros(len(known), np.bool_)
    changed[known] = np.logical_or.reduce([new[known] != old for new, old in zip(now, before, strict=True)])
    added = np.flatnonzero(counted & (ordered.new | changed))
    taken = counted & changed
    parts = [(added, now.at(added), 1)]
    if taken.any():
        parts.append((np.flatnonzero(taken), before.at(taken[known]), -1))
    return pa.concat_tables(
        _signed(ordered.clicks.take(pa.array(rows)), measured, sign, rules) for rows, measured, sign in parts
    )


def _measure(ordered: Ordered, rows: Mask, rules: VisitRules) -> _Measured:
    """What is known of these rows of the clicks, as if there were no others."""
    if rules.session_gap_ms is None:
        given = np.asarray(ordered.clicks["time_spent_ms"].fill_null(-1))[rows]
        return _Measured(given, np.zeros(len(given), np.bool_), np.zeros(len(given), np.bool_))
    users, millis = ordered.users[rows], ordered.millis[rows]
    until_next = np.diff(millis)
    follows = (np.diff(users) == 0) & (until_next <= rules.session_gap_ms)
    goes_on, went_before = (np.append(follows, False), np.append(False, follows)) if len(users) else (follows, follows)
    times = np.append(until_next, 0)[: len(users)]
    return _Measured(np.where(goes_on, times, -1), ~went_before, ~went_before & ~goes_on)


def _signed(clicks: pa.Table, measured: _Measured, sign: int, rules: VisitRules) -> pa.Table:
    rows = clicks.select(["url", "country", "user_id", "timestamp", *(["traits"] if rules.traits else [])])
    times = measured.time_spent_ms
    rows = rows.append_column("time_spent_ms", pa.array(times, mask=times < 0))
    rows = rows.append_column("sign", pa.array(np.full(len(times), sign, np.int64)))
    if rules.session_gap_ms is None:
        return rows
    rows = rows.append_column("starts_session", pa.array(measured.starts_session))
    return rows.append_column("bounced", pa.array(measured.bounced))


def last_two_of_each_user(ordered: Ordered) -> pa.Table:
    """The latest two clicks of each user: what is said of the last one depends on the one before."""
    users = ordered.users
    last = np.ones(len(users), np.bool_)
    last[:-2] = users[:-2] != users[2:]
    return ordered.clicks.filter(pa.array(last))


def of_users(clicks: pa.Table, users: pa.ChunkedArray) -> Mask:
    """Which clicks are of these users."""
    return np.asarray(pc.is_in(clicks["user_id"], value_set=users.unique()))


def millis_of(clicks: pa.Table) -> Int64s:
    """Times of clicks, ms since the epoch."""
    return np.asarray(clicks["timestamp"].cast(pa.int64()))
