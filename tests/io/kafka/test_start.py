"""Where a run begins: names, times, and committed offsets that are still there."""

import pytest

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import EARLIEST, LATEST, Committed, _complete_until
from clickstream.io.kafka.read.start import check_committed, start_time
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


@pytest.mark.parametrize(("offset", "told"), [(4, "2 records have expired"), (11, "created anew")])
def test_a_committed_offset_that_is_not_in_the_topic_is_told(offset, told):
    with pytest.raises(UserError, match=f"{told}.*choose --start=earliest or --start=latest"):
        check_committed("t", {0: Committed(offset)}, {0: 6}, {0: 10})
