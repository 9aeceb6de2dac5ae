"""`MeasureTimeSpent` by dwell in a pipeline: bounded, and on a stream whose clicks come late, out of order and twice."""

import json
import random
import time

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_stream import TestStream as Stream  # pytest would collect it by its name
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from columns import click_table
from oracle import Click, as_oracle_rows, expected_rows

from clickstream.transforms import AggregateByPage, MeasureTimeSpent, PaneTimes
from tests.services.prism import on_prism

START = 1_793_527_200  # a multiple of 300
GAP, LATENESS, WINDOW = 60, 120, 30


def clicks_of(seed: int, count: int = 300, seconds: int = 900) -> list[Click]:
    rng = random.Random(seed)
    made = [
        Click(
            f"u{rng.randrange(12)}",
            1000 * START + rng.randrange(seconds * 1000),
            f"https://a.example/{rng.randrange(3)}",
            "India",
            None,
            f"k{n}",
        )
        for n in range(count)
    ]
    return made + rng.sample(made, count // 10)  # some are sent twice


def step(**options) -> MeasureTimeSpent:
    return MeasureTimeSpent(
        session_gap_seconds=GAP, window_seconds=WINDOW, allowed_lateness_seconds=LATENESS, **options
    )


def fullest(tables: list[pa.Table]) -> dict:
    """What a store keeps: of each key the row with the highest version, the last of those."""
    rows: dict = {}
    for table in tables:
        for key, row in as_oracle_rows([table]).items():
            if key not in rows or row.version >= rows[key].version:
                rows[key] = row
    return rows


@pytest.mark.parametrize("deduplicate", [None, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_bounded_clicks_in_any_order_give_the_oracles_rows(shards, deduplicate) -> None:
    clicks = clicks_of(1)
    parts = [click_table(clicks[n : n + 40]) for n in range(0, len(clicks), 40)]
    expected = expected_rows(clicks, window_seconds=WINDOW, session_gap_seconds=GAP, deduplicate=deduplicate)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        measured = pipeline | beam.Create(parts) | step(shards=shards, deduplicate=deduplicate)
        rows = measured | AggregateByPage(window_seconds=WINDOW)
        assert_that(rows, lambda tables: _same(as_oracle_rows(tables), expected))


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_with_late_clicks_ends_with_the_rows_of_a_bounded_run(seed, monkeypatch, prism) -> None:
    """Batches of a few seconds; each click up to the lateness behind the watermark; what is forgotten early can't matter."""
    monkeypatch.setattr("clickstream.transforms.measure.track._LEAST_BYTES", 0)
    clicks = clicks_of(seed)
    rng = random.Random(seed)
    arrivals = sorted(clicks, key=lambda c: c.millis + (rng.randrange(LATENESS * 1000) if rng.random() < 0.3 else 0))
    stream, watermark = Stream().advance_watermark_to(START), START
    for at in range(0, len(arrivals), 7):
        part = arrivals[at : at + 7]
        stream = stream.add_elements([TimestampedValue(click_table(part), watermark)])
        watermark = max(watermark + 1, max(c.millis for c in part) // 1000 - 2)
        stream = stream.advance_watermark_to(watermark).advance_processing_time(10)
    expected = expected_rows(clicks, window_seconds=WINDOW, session_gap_seconds=GAP)
    measure = step()
    aggregate = AggregateByPage(
        window_seconds=WINDOW,
        allowed_lateness_seconds=LATENESS + measure.settled_seconds,
        pane_times=PaneTimes(early_seconds=None, late_seconds=1),
    )
    with on_prism(prism) as pipeline:
        rows = pipeline | stream.advance_watermark_to_infinity() | measure | aggregate
        assert_that(rows, lambda tables: _same(fullest(tables), expected))


def _same(found: dict, expected: dict) -> None:
    differing = {key: (found.get(key), row) for key, row in expected.items() if found.get(key) != row}
    assert not differing, f"{len(differing)} of {len(expected)} differ: {json.dumps(list(differing.items())[:3])}"
    assert found.keys() == expected.keys()


def test_a_click_counts_in_its_windows_first_pane_and_its_time_when_it_is_known(prism) -> None:
    """Panes of the first window: at its end two clicks, one of them timed; behind it the second one's time, too."""
    times = [5, 25, 45]
    clicks = [
        Click("u", 1000 * (START + second), "https://a.example/", "India", None, f"k{second}") for second in times
    ]
    stream = Stream().advance_watermark_to(START)
    for click in clicks:
        now = click.millis // 1000
        stream = stream.add_elements([TimestampedValue(click_table([click]), now - 1)]).advance_watermark_to(now + 6)
        stream = stream.advance_processing_time(10)
    aggregate = AggregateByPage(
        window_seconds=30,
        allowed_lateness_seconds=1000,
        pane_times=PaneTimes(early_seconds=None, late_seconds=1),
    )
    with on_prism(prism) as pipeline:
        rows = pipeline | stream.advance_watermark_to_infinity() | step() | aggregate
        panes = rows | beam.FlatMap(
            lambda table: [
                (time.monotonic(), (r["clicks"], r["timed_clicks"], r["sessions"]))
                for r in table.to_pylist()
                if r["window_start"].timestamp() == START
            ]
        )
        assert_that(panes, lambda found: _starts_and_ends(found, (2, 1, 1), (2, 2, 1)))


def _starts_and_ends(found: list, first: tuple, last: tuple) -> None:
    panes = [pane for _, pane in sorted(found)]
    assert (panes[0], panes[-1]) == (first, last), panes


@pytest.mark.parametrize(
    "options",
    [{"session_gap_seconds": 0}, {"window_seconds": 0}, {"allowed_lateness_seconds": -1}, {"shards": 0}],
)
def test_wrong_options_are_refused_while_the_graph_is_built(options) -> None:
    with pytest.raises(ValueError, match="MeasureTimeSpent: "):
        MeasureTimeSpent(**options)
