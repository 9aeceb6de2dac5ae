"""Where a run begins: names, times, and committed offsets that are still there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import EARLIEST, LATEST, Committed, _complete_until, with_metadata
from clickstream.io.kafka.read.start import check_committed, is_anew, start_time
from clickstream.io.kafka.watermark import NEVER


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("committed", None),
        ("earliest", EARLIEST),
        ("latest", LATEST),
        ("2026-11-01T00:00:00Z", 1_793_491_200_000),
        ("2026-11-01T00:00:00", 1_793_491_200_000),
        ("2026-11-01T01:00:00.250+01:00", 1_793_491_200_250),
        ("2026-11-01", 1_793_491_200_000),
    ],
)
def test_a_start_is_a_name_or_a_time(start, expected):
    assert start_time(start) == expected


def test_another_start_is_told():
    with pytest.raises(UserError, match="--start=soon is unknown"):
        start_time("soon")


def test_a_partition_without_a_commit_begins_at_its_first_record():
    found = {0: None, 1: Committed(7, 60_000), 2: Committed(3)}
    expected = {**found, 0: Committed(5)}
    assert check_committed("t", found, {0: 5, 1: 2, 2: 3}, {0: 9, 1: 7, 2: 3}) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("complete_until_ms=1793491200000", 1_793_491_200_000),
        ("complete_until_ms=-5", -5),
        (f"complete_until_ms={NEVER}", NEVER),
        ("complete_until_ms=", NEVER),
        ("complete_until_ms=12a", NEVER),
        ("1793491200000", NEVER),
        ("", NEVER),
        (None, NEVER),
    ],
)
def test_only_our_own_metadata_tells_what_was_complete(metadata, expected):
    assert _complete_until(metadata) == expected


METADATA = st.builds(
    Committed, st.just(7), st.integers(NEVER, 10**14), st.integers(-1, 10**12), st.sampled_from(["", "abcDEF-_1=="])
)


@given(METADATA)
def test_what_is_beside_an_offset_is_read_as_it_was_written(committed):
    assert with_metadata(7, committed.metadata) == committed


def test_expired_records_that_were_read_are_left_behind():
    found = {0: Committed(205, 60_000, 300, "id"), 1: Committed(5, read_until=6)}
    starts = check_committed("t", found, {0: 252, 1: 6}, {0: 300, 1: 9})
    assert starts == {0: Committed(252, 60_000, 300, "id"), 1: Committed(6, read_until=6)}


def test_only_what_was_not_read_has_expired_unread():
    with pytest.raises(UserError, match=r"\(310 to 320; 10 records have expired unread"):
        check_committed("t", {0: Committed(205, read_until=300)}, {0: 310}, {0: 320})


@pytest.mark.parametrize(
    ("ids", "now", "anew"),
    [(["a", "a"], "a", False), (["a", ""], "b", True), (["", None], "b", False), (["a", "b"], "", False)],
)
def test_another_id_is_another_topic_and_none_says_nothing(ids, now, anew):
    assert is_anew([name if name is None else Committed(1, topic_id=name) for name in ids], now) == anew


@pytest.mark.parametrize(("offset", "told"), [(4, "2 records have expired"), (11, "created anew")])
def test_a_committed_offset_that_is_not_in_the_topic_is_told(offset, told):
    with pytest.raises(UserError, match=f"{told}.*choose --start=earliest or --start=latest"):
        check_committed("t", {0: Committed(offset)}, {0: 6}, {0: 10})
