from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from local_time import HOUR_MS, local_period

from clickstream.transforms.periods import Periods, RestartTime

# Half and quarter hours; changes of the clock by an hour and by half of one, at midnight too; a day that a zone left out.
ZONES = (
    *("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "America/New_York", "America/Sao_Paulo"),
    *("Australia/Lord_Howe", "Asia/Beirut", "America/Havana", "Africa/Cairo", "Pacific/Apia", "Pacific/Kiritimati"),
)
names = st.sampled_from(["1h", "1d"])
moments = st.integers(315_532_800_000, 2_145_916_800_000)  # 1980 to 2038
HOURS_24 = 24 * HOUR_MS


def millis(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1000)


@given(moments, names, st.sampled_from(ZONES))
@example(millis("2026-03-29T00:30:00"), "1d", "Europe/Berlin")
@example(millis("2026-10-25T22:59:59"), "1h", "Europe/Berlin")
@example(millis("2018-11-04T03:00:00"), "1d", "America/Sao_Paulo")
@example(millis("2011-12-30T10:00:00"), "1d", "Pacific/Apia")
@example(millis("2026-04-04T15:10:00"), "1h", "Australia/Lord_Howe")
def test_periods_are_those_of_the_clock_on_the_wall(moment, name, zone) -> None:
    assert Periods(name, zone).bounds(moment) == local_period(moment, name, zone)


@given(moments, names, st.sampled_from(ZONES))
def test_periods_tile_time(moment, name, zone) -> None:
    periods = Periods(name, zone)
    start, end = periods.bounds(moment)
    assert start <= moment < end
    assert periods.bounds(start) == periods.bounds(end - 1) == (start, end)
    assert periods.bounds(end)[0] == end
    assert periods.bounds(start - 1)[1] == start


@given(st.lists(moments, min_size=1, max_size=30), names, st.sampled_from(ZONES))
def test_the_ends_of_many_at_once(many, name, zone) -> None:
    periods = Periods(name, zone)
    assert periods.ends(np.array(many)).tolist() == [periods.bounds(moment)[1] for moment in many]


@pytest.mark.parametrize(
    ("zone", "within", "start", "hours"),
    [
        ("Asia/Kolkata", "2026-11-01T18:29:59", "2026-10-31T18:30:00", 24),
        ("Asia/Kolkata", "2026-11-01T18:30:00", "2026-11-01T18:30:00", 24),
        ("Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00", "2026-10-24T22:00:00", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00:00", "2018-11-04T03:00:00", 23),  # has no midnight
        ("Australia/Lord_Howe", "2026-04-05T00:00:00", "2026-04-04T13:00:00", 24.5),
        ("Pacific/Apia", "2011-12-30T09:59:59", "2011-12-29T10:00:00", 24),
        ("Pacific/Apia", "2011-12-30T10:00:00", "2011-12-30T10:00:00", 24),  # the 31st: there was no 30th
    ],
)
def test_days_that_are_special(zone, within, start, hours) -> None:
    assert Periods("1d", zone).bounds(millis(within)) == (millis(start), millis(start) + hours * HOUR_MS)


def test_the_last_hour_of_a_day_that_ends_at_half_past_is_a_half_one() -> None:
    last = millis("2026-04-05T13:29:00")
    assert Periods("1h", "Australia/Lord_Howe").bounds(last) == (last - 29 * 60_000, last + 60_000)


@pytest.mark.parametrize("moment", [-(10**14), 10**15, -(2**63), 2**63 - 1])
def test_times_beyond_any_calendar_are_in_some_day(moment) -> None:
    start, end = Periods("1d", "Asia/Kolkata").bounds(moment)
    assert start <= moment < end


@pytest.mark.parametrize(
    ("name", "zone", "seconds", "divisor"),
    [
        ("1h", "UTC", 3600, None),
        ("1d", "UTC", 86_400, None),
        ("1d", "Asia/Kolkata", 1800, None),
        ("1d", "Asia/Kathmandu", 900, None),
        ("1d", "Europe/Berlin", 3600, None),
        ("1d", "Australia/Lord_Howe", 300, None),
        ("1h", "UTC", 7200, 3600),
        ("1h", "UTC", 7, 3600),
        ("1d", "Asia/Kolkata", 3600, 1800),
        ("1d", "Europe/Berlin", 7200, 3600),
        ("1d", "Asia/Kathmandu", 1800, 900),
        ("1d", "UTC", 172_800, 86_400),
    ],
)
def test_windows_must_lie_in_one_period_each(name, zone, seconds, divisor) -> None:
    periods = Periods(name, zone)
    if divisor is None:
        periods.check_windows(seconds)
    else:
        with pytest.raises(ValueError, match=f"choose a divisor of {divisor}$"):
            periods.check_windows(seconds)


@pytest.mark.parametrize("zone", ["Asia/Kolkatta", "", "/etc/passwd", "../UTC", "Asia", "Europe/Berlin\0"])
def test_unknown_zones_are_refused(zone) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        Periods("1d", zone)


def test_unknown_periods_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no period 2h"):
        Periods("2h")


@given(moments, names, st.sampled_from(ZONES), st.integers(0, 7200), st.integers(0, 7200))
def test_a_restart_opens_every_window_of_a_period_that_is_open(complete, name, zone, lateness, settled) -> None:
    """Closed are exactly the windows of the periods that are settled: so much earlier is the watermark at the start."""
    periods, window = Periods(name, zone), 300_000
    at = RestartTime(lateness, settled, periods)(complete)
    closed = (at - lateness * 1000) // window * window  # where the last closed window ends
    assert periods.bounds(closed)[0] == closed
    assert closed + (lateness + settled) * 1000 <= complete < periods.bounds(closed)[1] + (lateness + settled) * 1000


def test_without_periods_a_restart_is_earlier_by_what_may_still_change() -> None:
    assert RestartTime(60, 2100)(10_000_000) == 10_000_000 - 2_100_000
