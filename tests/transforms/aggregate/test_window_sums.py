"""Windows summed up by state and timers, on Prism: what is told of a window, and when, as the watermark and the clock go on."""

import time

import apache_beam as beam
import pytest
from apache_beam.testing.test_stream import TestStream as Stream  # pytest would collect it by its name
from apache_beam.testing.util import assert_that
from apache_beam.transforms.trigger import AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from columns import click_table
from oracle import Click

from clickstream.transforms import AggregateByPage, MeasureTimeSpent, PaneTimes, TimeSpentPolicy
from tests.services.prism import on_prism

START = 1_793_527_200  # a multiple of the window
WINDOW, LATENESS = 30, 60
FIXED = TimeSpentPolicy("fixed", 10)


def aggregate(early: float | None = None, late: float = 5) -> AggregateByPage:
    return AggregateByPage(WINDOW, allowed_lateness_seconds=LATENESS, pane_times=PaneTimes(early, late))


def clicks_at(*seconds: float) -> TimestampedValue:
    """A batch of clicks at these seconds from the start, by users of their own."""
    clicks = [Click(f"u{s}", round(1000 * (START + s)), "https://a.example/", "India", None, f"k{s}") for s in seconds]
    return TimestampedValue(click_table(clicks), START + seconds[0])


def told(rows: beam.PCollection) -> beam.PCollection:
    """Of each pane when it came, the window's start in seconds from the start, and its clicks."""
    return rows | "Told" >> beam.FlatMap(
        lambda table: [
            (time.monotonic(), int(row["window_start"].timestamp()) - START, row["clicks"]) for row in table.to_pylist()
        ]
    )


def panes(found: list[tuple[float, int, int]], window: int = 0) -> list[int]:
    """The clicks that a window was told to have, one time after the other."""
    return [clicks for _, start, clicks in sorted(found) if start == window]


# What comes and goes on, one after the other (a batch of clicks, seconds of the watermark from the start, `seconds` of the clock), and
# what is told of the first window.
COURSES = {
    "at its end": ([[1, 2], [3], 30, 10.0], [3]),
    "late clicks so soon after the first of them": ([[1], 31, [2], 4.0, [3], 1.0, [4], 5.0], [1, 3, 4]),
    "nothing again where nothing has changed": ([[1], 31, 100.0, 89, 100.0, 91], [1]),
    "when it closes, what came since": ([[1], 31, [2, 3], 91], [1, 3]),
    "by itself, what comes behind the close: less than stands": ([[1, 2], 31, 91, [3], 92], [2, 1]),
    "a window that begins late, at once": ([[40], 35, [1], 36, 10.0], [1]),
    "clicks of the next window too, each where they belong": ([[1, 31], 31, [2, 32], 10.0, 60], [1, 2]),
}


@pytest.mark.parametrize(("course", "expected"), COURSES.values(), ids=COURSES)
def test_a_window_is_told(course, expected, prism) -> None:
    with on_prism(prism) as pipeline:
        rows = pipeline | _stream(course) | MeasureTimeSpent(FIXED) | aggregate()
        assert_that(told(rows), lambda found: _equal(panes(found), expected))


@pytest.mark.parametrize(
    "panes_as", [{}, {"trigger": AfterWatermark(late=AfterProcessingTime(2))}], ids=["nothing", "a trigger"]
)
def test_who_knows_nothing_of_prism_sees_late_clicks_as_soon(panes_as, prism) -> None:
    """As in a pipeline for any runner: neither option of Prism's is given. By its own triggers, the 3 would come when the window closes."""
    course = [[1], 31, [2], 3.0, [3], 3.0, 80]
    with on_prism(prism) as pipeline:
        rows = (
            pipeline
            | _stream(course)
            | MeasureTimeSpent(FIXED)
            | AggregateByPage(WINDOW, allowed_lateness_seconds=LATENESS, **panes_as)
        )
        assert_that(told(rows), lambda found: _equal(panes(found), [1, 2, 3]))


def test_running_totals_come_before_the_end_where_they_are_asked_for(prism) -> None:
    course = [[1], 1.0, [2], 1.0, 10, [3], 2.0, 5.0, 31, [4], 2.0, 3.0]
    with on_prism(prism) as pipeline:
        rows = pipeline | _stream(course) | MeasureTimeSpent(FIXED) | aggregate(early=2)
        assert_that(told(rows), lambda found: _equal(panes(found), [2, 3, 4]))


def _stream(course: list) -> Stream:
    """The watermark goes on a little after each step: without a source that splits, Prism looks at what is stateful only then."""
    stream, watermark = Stream().advance_watermark_to(START), Timestamp(START)
    for step in course:
        watermark += 0.01
        if isinstance(step, list):
            stream = stream.add_elements([clicks_at(*step)])
        elif isinstance(step, float):
            stream = stream.advance_processing_time(step)
        else:
            watermark = Timestamp(START + step)
        stream = stream.advance_watermark_to(watermark)
    return stream.advance_watermark_to_infinity()


def _equal(found: object, expected: object) -> None:
    assert found == expected
