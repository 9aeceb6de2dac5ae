"""The reader's restriction: whole polls are claimed, and it splits only where it stands."""

import pytest
from apache_beam.runners.worker.bundle_processor import DataInputOperation
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka.read.restriction import GroupRestrictions, GroupStateCoder, GroupTracker, PartitionState
from clickstream.io.kafka.watermark import NEVER

INT64 = st.integers(-(2**63), 2**63 - 1)
ENDLESS = (PartitionState(0, 5, 5), PartitionState(1, 0, 0))
BOUNDED = (PartitionState(0, 5, 5, 9), PartitionState(1, 0, 0, 0))


@given(st.lists(st.builds(PartitionState, *[INT64] * 7)).map(tuple))
def test_the_coder_gives_back_what_it_got(group):
    coder = GroupStateCoder()
    assert coder.decode(coder.encode(group)) == group


def at(group, *offsets):
    return tuple(state._replace(next=offset) for state, offset in zip(group, offsets, strict=True))


def test_a_split_by_fraction_is_refused():
    tracker = GroupTracker(ENDLESS)
    assert [tracker.try_split(fraction) for fraction in (0.1, 0.5, 1.0)] == [None] * 3
    assert tracker.try_claim(at(ENDLESS, 7, 3))


def test_a_checkpoint_leaves_the_rest_and_ends_the_claims():
    tracker = GroupTracker(ENDLESS)
    assert tracker.try_claim(at(ENDLESS, 7, 3))
    done, rest = tracker.try_split(0)
    assert rest == at(ENDLESS, 7, 3)
    assert [(s.next, s.end) for s in done] == [(7, 7), (3, 3)]
    assert not tracker.try_claim(at(ENDLESS, 8, 4))
    assert tracker.current_restriction() == done
    assert tracker.try_split(0) is None
    tracker.check_done()


def test_a_bounded_group_is_done_at_its_ends_only():
    tracker = GroupTracker(BOUNDED)
    assert tracker.is_bounded()
    with pytest.raises(ValueError, match="ended before its partitions"):
        tracker.check_done()
    assert tracker.current_progress().remaining_work == 4
    assert tracker.try_claim(at(BOUNDED, 9, 0))
    tracker.check_done()
    assert tracker.try_split(0) is None


@pytest.mark.parametrize("group", [ENDLESS, at(ENDLESS, 7, 3), BOUNDED, at(BOUNDED, 9, 0)])
def test_its_progress_is_a_number_although_beam_has_not_seen_how_large_its_output_is(group):
    """What Beam does with it in a bundle whose first output hasn't been measured yet: a split that fails ends the job."""
    progress = GroupTracker(group).current_progress().with_completed(float("nan"))
    assert 0 <= progress.fraction_completed <= 1
    assert DataInputOperation._compute_split(0, progress.fraction_completed, 1, 0.5, 1) is None


def test_an_endless_group_is_not_bounded():
    assert not GroupTracker(ENDLESS).is_bounded()
    with pytest.raises(ValueError, match="ended before its partitions"):
        GroupTracker(ENDLESS).check_done()


def test_the_element_is_the_first_restriction():
    provider = GroupRestrictions()
    assert provider.initial_restriction(BOUNDED) == BOUNDED
    assert provider.restriction_size(BOUNDED, BOUNDED) == 4
    assert provider.restriction_size(ENDLESS, ENDLESS) > 0
    assert isinstance(provider.restriction_coder(), GroupStateCoder)
    assert PartitionState(0, 0, 0).latest == NEVER
