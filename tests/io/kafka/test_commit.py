"""What is committed has no gap, never goes back, and no window still needs it."""

import random

import pytest
from apache_beam.transforms.window import FixedWindows, WindowFn
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka.client import Committed
from clickstream.io.kafka.commit import Merged, _when_done, finished_offsets, merge_spans
from clickstream.io.kafka.watermark import NEVER
from clickstream.transforms.schema import BatchProgress, Span

STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=25)


def covered(done):
    return set(range(done.next)) | {offset for start, end in done.beyond for offset in range(start, end)}


@given(STRETCHES, st.integers(1, 5))
def test_merging_is_the_union_of_the_offsets(stretches, pieces):
    done = Merged(0, [])
    for number in range(pieces):
        before, done = done, merge_spans(done, stretches[number::pieces])
        assert done.next >= before.next
    offsets = {offset for start, end in stretches for offset in range(start, end)}
    reached = next(offset for offset in range(200) if offset not in offsets)
    assert done.next == reached
    assert covered(done) == offsets | set(range(reached))
    assert all(a < b for a, b in done.beyond)
    assert all(b < c for (_, b), (c, _) in zip(done.beyond, done.beyond[1:], strict=False))
    assert all(start > done.next for start, _ in done.beyond)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.randoms(use_true_random=False), st.booleans())
def test_a_tiled_partition_is_done_when_all_its_spans_are_whatever_their_order(lengths, rnd, repeated):
    ends = [1_000 + sum(lengths[: i + 1]) for i in range(len(lengths))]
    spans = list(zip([1_000, *ends], ends, strict=False)) * (2 if repeated else 1)
    rnd.shuffle(spans)
    done = Merged(1_000, [])
    for span in spans:
        done = merge_spans(done, [span])
    assert done == (ends[-1], [])


def progress(partition, start, end, needed_until):
    return BatchProgress(f"kafka:clicks/{partition}", Span(100, start, end), needed_until)


def test_a_bounded_run_finishes_only_windows_that_are_complete():
    found = [progress(0, 100, 200, 5_000), progress(0, 200, 300, 9_000), progress(0, 300, 300, 8_000)]
    random.Random(1).shuffle(found)
    assert finished_offsets(found) == {"kafka:clicks/0": Committed(200, 8_000)}


def test_a_bounded_run_is_as_complete_as_its_least_complete_group():
    found = [progress(0, 100, 200, 5_000), progress(0, 200, 200, 6_000)]
    assert finished_offsets([*found, progress(1, 100, 100, 4_000)]) == {}
    assert finished_offsets([*found, progress(1, 100, 100, NEVER)]) == {"kafka:clicks/0": Committed(200, 6_000)}


def test_a_bounded_run_without_an_end_finishes_nothing():
    assert finished_offsets([progress(0, 100, 200, 5_000)]) == {}


def test_records_without_clicks_are_finished_at_once():
    assert finished_offsets([progress(0, 100, 200, NEVER), progress(0, 200, 200, 1)]) == {
        "kafka:clicks/0": Committed(200, 1)
    }


@pytest.mark.parametrize("size", [1, 10])
@given(watermark=st.integers(NEVER, 253_000_000_000_000), ahead=st.integers(0, 10**9))
def test_a_span_is_never_late_where_it_waits(size, watermark, ahead):
    """The runner's watermark is at most the batch's; a window is expired when that has passed its last moment."""
    value = _when_done(progress(3, 100, 200, watermark + ahead))
    [window] = FixedWindows(size).assign(WindowFn.AssignContext(value.timestamp, value.value))
    assert window.max_timestamp().micros // 1000 >= watermark
    assert window.end.micros // 1000 > watermark + ahead
    assert value.value == (("kafka:clicks/3", 100), (100, 200))
