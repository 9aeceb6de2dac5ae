"""Rows to one answer for each of several groups at once: what `Totals` says of each group's rows, for all groups in one pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from clickstream.transforms.answer.totals import COLUMNS, Answer
from clickstream.transforms.arrays import Floats, Int64s
from clickstream.transforms.sketches import MAX_THETA, Users, quantile, users_of

GROUPED_COLUMNS = ("window_start", "url", "country", *COLUMNS)
_HISTOGRAM = pl.Struct({"values": pl.List(pl.Float64), "counts": pl.List(pl.Int64)})
_ADDED = ("clicks", "timed_clicks", "sessions", "bounces")


def read_sketches(rows: pa.Table) -> pl.DataFrame:
    """A table of GROUPED_COLUMNS with its JSON read: `hashes`, `values` and `counts` are lists. Frames like this may be put end to end."""
    histogram = pl.col("time_spent_histogram").str.json_decode(_HISTOGRAM)
    frame = pl.DataFrame(pl.from_arrow(rows))
    return frame.with_columns(
        pl.col("time_spent_seconds").mul(1000).round().cast(pl.Int64).alias("millis"),
        pl.col("users_sketch").str.json_decode(pl.List(pl.Int64)).alias("hashes"),
        histogram.struct.field("values").alias("values"),
        histogram.struct.field("counts").alias("counts"),
    ).drop("users_sketch", "time_spent_histogram", "time_spent_seconds")


def break_down(rows: pl.DataFrame, groups: Int64s, count: int) -> list[Answer]:
    """One answer a group, of what `read_sketches` gave.

    Args:
        rows: A row of a window, page and country no more than once.
        groups: The group of each row, from 0; -1: of none.
        count: How many groups there are.
    """
    frame = rows.with_columns(pl.Series("group", groups)).filter(pl.col("group") >= 0)
    sums = frame.group_by("group").agg(
        pl.len().alias("rows"),
        *(pl.col(name).sum() for name in ("clicks", "timed_clicks", "millis")),
        *(_sum_of_known(name) for name in ("sessions", "bounces")),
        pl.col("unique_users").first(),
        pl.col("users_theta").min().alias("theta"),
        (pl.col("users_theta").is_null() | pl.col("hashes").is_null()).any().alias("unsketched"),
    )
    users, times = _distinct(frame, sums), _quantiles(frame)
    found = {row["group"]: _answer(row, users.get(row["group"], 0), times.get(row["group"])) for row in sums.to_dicts()}
    return [found.get(group, _EMPTY) for group in range(count)]


_EMPTY = Answer(0, 0, Users(0, 0, 0, exact=True), None, None, 0, None, None, None)


def _sum_of_known(name: str) -> pl.Expr:
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)


def _distinct(frame: pl.DataFrame, sums: pl.DataFrame) -> dict[int, int]:
    """How many distinct hashes each group has below its theta."""
    hashes = frame.select("group", hash=pl.col("hashes")).explode("hash").drop_nulls()
    kept = hashes.join(sums.select("group", "theta"), on="group")
    kept = kept.filter((pl.col("hash") < pl.col("theta")) | (pl.col("theta") == MAX_THETA))
    return dict(kept.group_by("group").agg(pl.col("hash").n_unique()).iter_rows())


def _quantiles(frame: pl.DataFrame) -> dict[int, tuple[Floats, Int64s]]:
    """Each group's histogram: values ascending, and their counts."""
    cells = frame.select("group", "values", "counts").drop_nulls().explode("values", "counts")
    merged = cells.group_by("group", "values").agg(pl.col("counts").sum()).filter(pl.col("counts") != 0)
    by_group = merged.sort("group", "values").group_by("group", maintain_order=True).agg("values", "counts")
    return {group: (np.array(values), np.array(counts)) for group, values, counts in by_group.iter_rows()}


def _answer(row: dict[str, Any], distinct: int, histogram: Any) -> Answer:
    timed = row["timed_clicks"]
    mean = row["millis"] / 1000 / timed if timed else None
    values, counts = histogram or (np.empty(0), np.empty(0, np.int64))
    if int(counts.sum()) != timed:
        times: Sequence[float | None] = (None, None)
    else:
        times = [mean if len(values) == 1 else quantile(values, counts, q) for q in (0.5, 0.9)]
    return Answer(
        row["rows"], row["clicks"], _users(row, distinct), row["sessions"], row["bounces"], timed, mean, *times
    )


def _users(row: dict[str, Any], distinct: int) -> Users | None:
    if row["rows"] == 1:
        return Users(row["unique_users"], row["unique_users"], row["unique_users"], exact=True)
    return None if row["unsketched"] else users_of(distinct, row["theta"])
