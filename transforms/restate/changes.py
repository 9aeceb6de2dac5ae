"""What a window's rows should be against what is published: the differences, and the rows that put them right."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from clickstream.transforms.schema import PAGE_METRICS_SCHEMA, PAGES, RowKind
from clickstream.transforms.sketches import MAX_THETA

GENERATION_BITS = 50  # of a version: below them what was counted, above them how often a row was made smaller
_SUMS = ("clicks", "unique_users", "time_spent_seconds", "timed_clicks")
_FLOATS = tuple(field.name for field in PAGE_METRICS_SCHEMA if pa.types.is_floating(field.type))
_ROUNDED = 1e-9  # as a share: what a store's way of writing a float may lose


class WindowChange(NamedTuple):
    """How the published rows of a window differ from those computed.

    Attributes:
        window_start_ms, window_end_ms: The window, or the period of a roll-up, ms since the epoch.
        store: Where they are published.
        missing, differing, needless: Rows that aren't published, that are with other figures, and that shouldn't be.
        published, computed: Sums over all rows of the window: clicks, users row by row, seconds, and clicks of a known time.
        kept: Too few clicks were computed, so that the rows are left as they are.
    """

    window_start_ms: int
    window_end_ms: int
    store: str
    missing: int
    differing: int
    needless: int
    published: dict[str, float]
    computed: dict[str, float]
    kept: bool = False


class Restated(NamedTuple):
    """The rows to write, and what they change, a store each."""

    rows: pa.Table
    changes: list[WindowChange]


def restate(
    computed: pa.Table, published: Mapping[str, pa.Table], *, fewer: int = 0, kind: RowKind = PAGES
) -> Restated:
    """Compares rows of one window, and makes those that bring every store to what was computed.

    A row is written with a version above all that are published of it, so that it wins even where it is smaller. A published row of a page that
    no click is left of is restated with nothing counted; a row like that is taken for none.

    Args:
        computed: Rows of one window; no row for a page without clicks.
        published: The rows of the same window in each store, by its name.
        fewer: How many clicks less than are published may have been computed. If it's less by more, then not all of the window is in what was
            computed from, and it is left as it is.
        kind: Of all these rows.
    """
    schema, key = kind.schema, list(kind.key)
    right = _frame(computed, schema)
    found = {store: _frame(rows, schema) for store, rows in published.items()}
    sides = {store: _side_by_side(right, rows, kind) for store, rows in found.items()}
    kept = any(rows["clicks"].sum() > right["clicks"].sum() + fewer for rows in found.values())
    changes = [_change(store, sides[store], right, rows, kept=kept) for store, rows in found.items()]
    changes = [change for change in changes if change.missing or change.differing or change.needless]
    if kept or not changes:
        return Restated(schema.empty_table(), changes)
    emptied = pl.concat([_emptied(rows.join(right, on=key, how="anti")) for rows in found.values()])
    wanted = pl.concat([right, emptied.unique(key, keep="first", maintain_order=True)])
    return Restated(_with_winning_versions(wanted, pl.concat(sides.values()), kind), changes)


def _frame(rows: pa.Table, schema: pa.Schema) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows.select(schema.names)))


def _side_by_side(right: pl.DataFrame, published: pl.DataFrame, kind: RowKind) -> pl.DataFrame:
    """All keys of both, the published version, and what is wrong: `missing`, `differing`, `needless` or null."""
    figures = (each.name for each in kind.columns if each.name not in ("window_start", *kind.key, "version"))
    both = right.join(published, on=list(kind.key), how="full", suffix="_published", coalesce=True)
    there, wanted = pl.col("clicks_published").fill_null(0) > 0, pl.col("version").is_not_null()
    differs = pl.any_horizontal(_differs(name) for name in figures)
    wrong = (
        pl.when(wanted & ~there)
        .then(pl.lit("missing"))
        .when(there & ~wanted)
        .then(pl.lit("needless"))
        .when(there & differs)
        .then(pl.lit("differing"))
    )
    return both.select(*kind.key, "version_published", wrong=wrong)


def _differs(name: str) -> pl.Expr:
    mine, theirs = pl.col(name), pl.col(f"{name}_published")
    if name not in _FLOATS:
        return mine.ne_missing(theirs)
    apart = (mine - theirs).abs() > _ROUNDED * pl.max_horizontal(mine.abs(), pl.lit(1.0))
    return apart.fill_null(mine.is_null() != theirs.is_null())


def _change(
    store: str, sides: pl.DataFrame, right: pl.DataFrame, published: pl.DataFrame, *, kept: bool
) -> WindowChange:
    one = (published if right.is_empty() else right).head(1)
    start, end = (int(one[name].dt.epoch("ms").sum()) for name in ("window_start", "window_end"))
    missing, differing, needless = (
        int((sides["wrong"] == name).sum()) for name in ("missing", "differing", "needless")
    )
    return WindowChange(start, end, store, missing, differing, needless, _sums(published), _sums(right), kept)


def _sums(rows: pl.DataFrame) -> dict[str, float]:
    return {name: round(float(rows[name].sum()), 3) for name in _SUMS}


def _emptied(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with nothing counted: what was measured is 0, what wasn't stays null."""
    nothing = dict.fromkeys(("clicks", "unique_users", "time_spent_seconds", "timed_clicks", "version"), 0)
    measured = {"sessions": 0, "bounces": 0, "users_theta": MAX_THETA, "users_sketch": "[]"}
    unknown = ("avg_time_spent", "median_time_spent", "p90_time_spent", "time_spent_histogram")
    return rows.with_columns(
        *(pl.lit(value).cast(rows.schema[name]).alias(name) for name, value in nothing.items()),
        *(pl.when(pl.col(name).is_not_null()).then(pl.lit(value)).alias(name) for name, value in measured.items()),
        *(pl.lit(None).cast(rows.schema[name]).alias(name) for name in unknown),
    ).with_columns(pl.col(name).cast(rows.schema[name]) for name in measured)


def _with_winning_versions(wanted: pl.DataFrame, sides: pl.DataFrame, kind: RowKind) -> pa.Table:
    """The rows that are wrong in any store, with the lowest version that wins in all of them."""
    key, schema = list(kind.key), kind.schema
    wrong, stands = pl.col("wrong").is_not_null(), pl.col("version_published")
    replaced = (wrong & stands.is_not_null()).any().alias("replaced")
    published = sides.group_by(key).agg(wrong.any(), replaced, stands.max()).filter("wrong")
    rows = wanted.join(published, on=key, how="inner", maintain_order="left")
    unit = 1 << GENERATION_BITS
    same = stands.fill_null(0) // unit * unit + pl.col("version")
    wins = pl.when("replaced").then(same > stands).otherwise(same >= stands.fill_null(0))
    winning = pl.when(wins).then(same).otherwise(same + unit)
    return rows.with_columns(version=winning).select(schema.names).to_arrow().cast(schema)
