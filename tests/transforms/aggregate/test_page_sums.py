"""The combine gives the oracle's rows for any split, order, merge tree, window size and number of shards."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Click, as_oracle_rows, expected_rows
from without_beam import iterate_metrics

from clickstream.transforms.aggregate import page_sums
from clickstream.transforms.aggregate.combine import PageSumsCoder
from clickstream.transforms.aggregate.page_sums import PageSums, cut_by_window, merge_partials
from clickstream.transforms.aggregate.result_rows import page_metrics
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA, UTC_MS
from clickstream.transforms.sketches import time_buckets

CLICKS = st.lists(
    st.builds(
        Click,
        st.sampled_from(["u1", "u2", "u3"]),
        st.integers(1_793_527_000_000, 1_793_527_400_000),
        st.sampled_from(["https://a.example/", "https://b.example/x", "https://c.example/ü"]),
        st.sampled_from(["India", "Kenya"]),
        st.none() | st.integers(0, 10**9).map(lambda ms: ms / 1000),
    ),
    max_size=60,
)


def table(clicks: list[Click]) -> pa.Table:
    columns = {
        "url": pa.array([c.url for c in clicks], pa.string()),
        "country": pa.array([c.country for c in clicks], pa.string()),
        "user_id": pa.array([c.user_id for c in clicks], pa.string()),
        "timestamp": pa.array([c.millis for c in clicks], pa.int64()).cast(UTC_MS),
        "time_spent_ms": pa.array(
            [None if c.time_spent is None else round(c.time_spent * 1000) for c in clicks], pa.int64()
        ),
    }
    return pa.table(columns)


@given(CLICKS, st.integers(1, 400), st.integers(1, 9), st.integers(1, 20), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_any_split_order_and_merge_tree_gives_the_oracles_rows(
    clicks, window_seconds, shards, size, rng: random.Random
) -> None:
    shuffled = clicks.copy()
    rng.shuffle(shuffled)
    groups: dict[tuple[int, int], list[PageSums]] = {}
    for start in range(0, len(shuffled), size):
        for piece in cut_by_window(table(shuffled[start : start + size]), window_seconds=window_seconds, shards=shards):
            sums = PageSums()
            sums.add(piece.partials)
            groups.setdefault((piece.shard, piece.window_start_ms), []).append(sums)
    found = [_merged(sums, rng, window, window_seconds) for (_, window), sums in groups.items()]
    assert as_oracle_rows(found) == expected_rows(clicks, window_seconds=window_seconds)


def _merged(sums: list[PageSums], rng: random.Random, window: int, window_seconds: int) -> pa.Table:
    """Merges in a random tree, now and then through the coder or a compaction."""
    coder = PageSumsCoder()
    while len(sums) > 1:
        left, right = sums.pop(rng.randrange(len(sums))), sums.pop(rng.randrange(len(sums)))
        left.merge(coder.decode(coder.encode(right)) if rng.random() < 0.5 else right)
        if rng.random() < 0.3:
            left.compact()
        sums.append(coder.decode(coder.encode(left)) if rng.random() < 0.5 else left)
    return page_metrics(sums[0].table(), window_start_ms=window, window_end_ms=window + window_seconds * 1000)


@given(CLICKS)
@settings(max_examples=50)
def test_small_limits_of_packing_and_merging_change_nothing(clicks) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_sums, "_ROWS_UNPACKED", 3)
        patch.setattr(page_sums, "_ROWS_UNMERGED", 7)
        sums = PageSums()
        for click in clicks:
            for piece in cut_by_window(table([click]), window_seconds=10**6, shards=1):
                sums.add(piece.partials)
    merged = merge_partials(sums.table())
    assert sum(merged["clicks"].to_pylist()) == len(clicks)
    spans = [
        0 if c.time_spent is None else int(time_buckets(np.array([round(c.time_spent * 1000)]))[0]) for c in clicks
    ]
    distinct = {(c.url, c.country, c.user_id, span) for c, span in zip(clicks, spans, strict=True)}
    assert merged.num_rows == len(distinct)


def test_rows_have_the_contracts_columns_and_an_unknown_mean_is_null() -> None:
    (rows,) = iterate_metrics(
        table([Click("u", 1_793_527_000_000, "https://a.example/", "India", None)]), window_seconds=300
    )
    assert rows.schema == PAGE_METRICS_SCHEMA
    row = rows.to_pylist()[0]
    assert (row["clicks"], row["unique_users"], row["timed_clicks"], row["time_spent_seconds"]) == (1, 1, 0, 0.0)
    assert row["avg_time_spent"] is None
    assert row["version"] == 1


def test_windows_are_half_open() -> None:
    edge = 1_793_527_200_000
    clicks = [Click("u", edge + shift, "https://a.example/", "India", None) for shift in (-1, 0, 299_999, 300_000)]
    starts = [rows["window_start"][0].value for rows in iterate_metrics(table(clicks), window_seconds=300)]
    assert starts == [edge - 300_000, edge, edge + 300_000]


def test_a_page_belongs_to_the_same_shard_everywhere() -> None:
    pages = [
        ("https://a.example/", "India"),
        ("https://a.example/", "Kenya"),
        ("https://b.example/", "India"),
        ("https://ü.example/", "Perú"),
    ]
    clicks = table([Click("u", 1_793_527_200_000, *page, None) for page in pages])
    shards = {
        row["url"] + row["country"]: piece.shard
        for piece in cut_by_window(clicks, window_seconds=300, shards=64)
        for row in piece.partials.to_pylist()
    }
    assert shards == {
        "https://a.example/India": 45,
        "https://a.example/Kenya": 19,
        "https://b.example/India": 10,
        "https://ü.example/Perú": 60,
    }


def test_no_clicks_are_no_pieces_and_no_rows() -> None:
    assert cut_by_window(table([]), window_seconds=300, shards=4) == []
    assert page_metrics(PageSums().table(), window_start_ms=0, window_end_ms=1).num_rows == 0


def test_merging_costs_each_row_a_few_times_also_when_stored_between_bundles(monkeypatch) -> None:
    """A runner stores the accumulator after each bundle: how much of it is merged already must not be forgotten."""
    merged = []
    monkeypatch.setattr(page_sums, "merge_partials", lambda t: (merged.append(t.num_rows), merge_partials(t))[1])
    monkeypatch.setattr(page_sums, "_ROWS_UNPACKED", 4)
    monkeypatch.setattr(page_sums, "_ROWS_UNMERGED", 20)
    coder, sums, count = PageSumsCoder(), PageSums(), 1000
    for user in range(count):
        clicks = table([Click(f"u{user}", 1_793_527_200_000, "https://a.example/", "India", None)])
        fresh = PageSums()
        fresh.add(cut_by_window(clicks, window_seconds=300, shards=1)[0].partials)
        fresh.merge(coder.decode(coder.encode(sums)))
        sums = coder.decode(coder.encode(fresh))
    assert 0 < sum(merged) < 4 * count
    (row,) = page_metrics(sums.table(), window_start_ms=0, window_end_ms=300_000).to_pylist()
    assert (row["clicks"], row["unique_users"]) == (count, count)


def test_sums_and_means_are_exact_to_the_millisecond() -> None:
    """0.1 s added a hundred thousand times is 10,000 s, in any order; floats would drift."""
    clicks = [Click(f"u{n % 7}", 1_793_527_200_000, "https://a.example/", "India", 0.1) for n in range(100_000)]
    (rows,) = iterate_metrics(table(clicks), window_seconds=300)
    (row,) = rows.to_pylist()
    assert (row["time_spent_seconds"], row["avg_time_spent"], row["unique_users"]) == (10_000.0, 0.1, 7)
    assert row["version"] == 200_000


def test_texts_that_look_alike_stay_apart() -> None:
    """Keys are compared byte by byte: case, accents, trailing blanks and NULs tell pages, countries and users apart."""
    texts = ["a", "A", "á", "a\u0301", "a ", "a\0", ""]
    clicks = [
        Click(user, 1_793_527_200_000, url, country, None) for user in texts for url in texts for country in texts
    ]
    found = as_oracle_rows(iterate_metrics(table(clicks), window_seconds=300))
    assert found == expected_rows(clicks, window_seconds=300)
    assert {row.unique_users for row in found.values()} == {len(texts)}


def test_a_table_in_chunks_or_a_slice_of_one_is_cut_like_any_other() -> None:
    clicks = [Click(f"u{n}", 1_793_527_000_000 + n * 1000, "https://a.example/", "Kenya", n / 8) for n in range(900)]
    chunked = pa.concat_tables([table(clicks[:17]), table([]), table(clicks)]).slice(17)
    found = as_oracle_rows(iterate_metrics(chunked, window_seconds=60))
    assert found == expected_rows(clicks, window_seconds=60)


def test_a_batch_is_cut_into_one_piece_a_window_and_shard() -> None:
    """However its clicks are mixed: a piece costs a Beam element."""
    chance = random.Random(4)
    clicks = [
        Click("u", 1_793_527_200_000 + 60_000 * chance.randrange(10), f"https://a.example/{n % 40}", "Kenya", None)
        for n in range(2000)
    ]
    pieces = cut_by_window(table(clicks), window_seconds=60, shards=4)
    assert len({(piece.shard, piece.window_start_ms) for piece in pieces}) == len(pieces) == 40
    assert sum(piece.partials.num_rows for piece in pieces) == 2000
    assert len(cut_by_window(table(clicks), window_seconds=60, shards=1)) == 10
