"""A stranger's pipeline on Prism needs to know nothing: steps set what Prism must be told, or refuse in one line with the cure."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions
from apache_beam.testing.test_stream import TestStream as Stream  # pytest would collect it by its name
from apache_beam.transforms.trigger import AfterCount, AfterProcessingTime, AfterWatermark, DefaultTrigger, Repeatedly
from columns import click_table

from clickstream.io.errors import UserError
from clickstream.io.kafka import CommitOffsets, ReadFromKafka
from clickstream.transforms import AggregateByPage, MeasureTimeSpent, ParseClicks, TimeSpentPolicy
from clickstream.transforms.aggregate.window_sums import PaneTimes, times_of
from clickstream.transforms.runner import NO_SPLITS

DWELL, FIXED = TimeSpentPolicy("dwell"), TimeSpentPolicy("fixed", 10)


def wired(
    runner: str, policy: TimeSpentPolicy, aggregate: AggregateByPage, options: tuple[str, ...] = ()
) -> beam.Pipeline:
    pipeline = beam.Pipeline(runner, options=PipelineOptions([*options]))
    _ = pipeline | Stream().add_elements([click_table([])]) | MeasureTimeSpent(policy) | aggregate
    return pipeline


def splits(pipeline: beam.Pipeline) -> bool:
    return NO_SPLITS not in (pipeline.options.view_as(DebugOptions).experiments or [])


def by_timers(pipeline: beam.Pipeline) -> bool:
    return any("/SumWindows/" in label for label in pipeline.applied_labels)


@pytest.mark.parametrize(
    ("runner", "timers", "split"),
    [
        ("PrismRunner", True, False),
        ("DirectRunner", False, False),
        ("FnApiRunner", False, True),
        ("FlinkRunner", False, True),
    ],
)
def test_prism_alone_is_told_and_gets_timers(runner, timers, split) -> None:
    """DirectRunner may choose Prism once the graph is complete, if that has no timers by the clock."""
    pipeline = wired(runner, DWELL, AggregateByPage())
    assert (by_timers(pipeline), splits(pipeline)) == (timers, split)


def test_the_runner_may_be_an_option_and_other_experiments_stay() -> None:
    pipeline = wired(None, FIXED, AggregateByPage(), ("--runner=PrismRunner", "--experiments=another"))
    assert by_timers(pipeline)
    assert {"another", NO_SPLITS} <= {*pipeline.options.view_as(DebugOptions).experiments}


def test_who_says_so_has_triggers_on_prism_or_timers_elsewhere() -> None:
    assert not by_timers(
        wired("PrismRunner", FIXED, AggregateByPage(trigger=AfterWatermark(late=AfterCount(1)), by_timers=False))
    )
    assert by_timers(wired("FnApiRunner", FIXED, AggregateByPage(by_timers=True)))


@pytest.mark.parametrize(
    ("trigger", "times"),
    [
        (None, PaneTimes(None, 1)),
        (DefaultTrigger(), PaneTimes(None, 1)),
        (AfterWatermark(), PaneTimes(None, 1)),
        (AfterWatermark(late=AfterProcessingTime(5)), PaneTimes(None, 5)),
        (AfterWatermark(early=AfterProcessingTime(0), late=AfterProcessingTime(20)), PaneTimes(1, 20)),
        (AfterWatermark(early=AfterCount(100)), None),
        (Repeatedly(AfterCount(100)), None),
    ],
)
def test_a_trigger_is_followed_by_timers_where_they_can(trigger, times) -> None:
    assert times_of(trigger) == times
    if times and trigger:
        assert times_of(times.trigger()) == times


def test_a_trigger_that_timers_cant_follow_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"give pane_times=PaneTimes\(.*, or by_timers=False") as raised:
        wired("PrismRunner", FIXED, AggregateByPage(trigger=Repeatedly(AfterCount(100))))
    assert "\n" not in str(raised.value)
    wired("FnApiRunner", FIXED, AggregateByPage(trigger=Repeatedly(AfterCount(100))))


@pytest.mark.parametrize(
    "options",
    [
        {"trigger": DefaultTrigger(), "pane_times": PaneTimes()},
        {"pane_times": PaneTimes(0, 1)},
        {"pane_times": PaneTimes(None, 0)},
    ],
)
def test_panes_that_cant_be_are_refused(options) -> None:
    with pytest.raises(ValueError, match=r"give one of them|must be more than 0"):
        AggregateByPage(**options)


def test_committing_offsets_keeps_state_whole_too() -> None:
    pipeline = beam.Pipeline("PrismRunner")
    parsed = pipeline | ReadFromKafka("127.0.0.1:1", "clicks", "group") | ParseClicks()
    assert splits(pipeline)
    _ = {"progress": parsed.progress, "after": [parsed.clicks]} | CommitOffsets("127.0.0.1:1", "group")
    assert not splits(pipeline)


def test_kafkas_partitions_arent_read_apart_on_prism() -> None:
    def read(runner: str) -> None:
        _ = beam.Pipeline(runner) | ReadFromKafka("127.0.0.1:1", "clicks", "group", splits="per_partition")

    read("FlinkRunner")
    with pytest.raises(UserError, match="loses events on Prism"):
        read("PrismRunner")
