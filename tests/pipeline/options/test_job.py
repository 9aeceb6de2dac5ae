import argparse

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.live.job import servers_of
from clickstream.pipeline.options import ClickOptions, KafkaOptions, MetricOptions, job_parser, read_options
from clickstream.pipeline.options.values import duration, duration_or_off, rollups, whole
from clickstream.pipeline.settings import Settings, rollups_of
from clickstream.transforms import Periods


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("7d", 604_800)])
def test_durations(text, seconds) -> None:
    assert duration(text) == seconds
    assert duration_or_off("off") == 0


@pytest.mark.parametrize("text", ["", "-1s", "5w", "1h30m", "nan", "1e3"])
def test_what_is_no_duration_is_refused(text) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        duration(text)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "", "11", "99999999999"])
def test_whole_numbers_have_bounds(text) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number from 1 to 10"):
        whole(1, 10)(text)


@pytest.mark.parametrize("argument", ["--windows_second=300", "--windowseconds", "stray", "--save_point_path=x"])
def test_unknown_options_are_refused(argument) -> None:
    with pytest.raises(UserError, match=rf"Unknown option {argument}"):
        read_options([argument])


def test_a_wrong_value_names_option_and_cure() -> None:
    with pytest.raises(UserError, match=r"--time_spent.*fixed:300"):
        read_options(["--time_spent=fixed:-1"])


def test_own_options_and_beams_are_read_together() -> None:
    options = read_options(["--window_seconds=60", "--direct_num_workers=2", "--bootstrap_servers=b:9092"])
    assert options.view_as(MetricOptions).window_seconds == 60
    assert options.view_as(DirectOptions).direct_num_workers == 2
    assert options.view_as(KafkaOptions).bootstrap_servers == "b:9092"


def parse_options(options, *, live=False):
    return Settings.from_options(options, live=live).parse


def _servers_of(options):
    return servers_of(options, Settings.from_options(options, live=True))


def test_event_age_is_bounded_live_and_not_for_logs() -> None:
    plain, off = read_options([]), read_options(["--max_event_age=off", "--max_clock_skew=off"])
    assert parse_options(plain).max_event_age_seconds is None
    assert parse_options(plain, live=True).max_event_age_seconds == 7 * 86_400
    assert parse_options(off, live=True).max_event_age_seconds is None
    assert parse_options(off).max_clock_skew_seconds is None
    assert parse_options(plain).max_clock_skew_seconds == 600
    assert off.view_as(ClickOptions).url_normalisation == "on"


def test_every_option_has_help() -> None:
    actions = [action for action in job_parser()._actions if action.option_strings != ["-h", "--help"]]
    assert len(actions) > 20
    assert all(action.help for action in actions)


@pytest.mark.parametrize("stores", [(), ("--mysql=mysql://a@b/c", "--raw_store=sqlite"), ("--dead_letters=file:x.db",)])
def test_files_are_set_up_whatever_is_checked(tmp_path, stores) -> None:
    kafka = ("--bootstrap_servers=b:9092", "--topic=t", f"--output_dir={tmp_path}", "--check_servers=off")
    with pytest.raises(UserError, match="--check_servers=off isn't for SQLite files"):
        _servers_of(read_options([*kafka, *stores]))


def test_no_server_is_asked_if_none_is_to_be() -> None:
    live = ("--bootstrap_servers=b:9092", "--topic=t", "--mysql=mysql://a@b/c", "--check_servers=off")
    options = read_options([*live, "--hash_user_ids=env:NOT_SET_HERE"])
    sinks, raw_store = _servers_of(options)
    assert (sinks.sql.host, raw_store) == ("b", None)
    assert parse_options(options, live=True).user_key is not None
    with pytest.raises(UserError, match="NOT_SET_HERE is not set"):
        parse_options(read_options(["--hash_user_ids=env:NOT_SET_HERE"]), live=True)


@pytest.mark.parametrize(("text", "names"), [("1h", "1h"), ("1d,1h", "1h,1d"), ("1h,1d", "1h,1d"), ("1d,1d", "1d")])
def test_rollups_are_the_shorter_first(text, names) -> None:
    assert rollups(text) == names
    assert [p.name for p in rollups_of(read_options([f"--rollups={text}"]))] == names.split(",")


@pytest.mark.parametrize("text", ["", "2h", "1d,", "day"])
def test_what_is_no_rollup_is_refused(text) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 1h, 1d or 1h,1d"):
        rollups(text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--time_zone=Asia/Kolkatta",), "there is no time zone Asia/Kolkatta: write its name in the IANA database"),
        (("--time_zone=Asia/Kolkata", "--window_seconds=3600"), "choose a divisor of 1800."),
    ],
)
def test_rollups_that_cannot_be_are_told_in_one_line(options, says) -> None:
    with pytest.raises(UserError, match=says) as raised:
        parse_options(read_options(["--rollups=1h,1d", *options]), live=True)
    assert "\n" not in str(raised.value)


def test_the_longest_rollup_says_how_long_records_are_needed() -> None:
    options = read_options(["--rollups=1d,1h", "--time_zone=Europe/Berlin"])
    assert parse_options(options).periods == Periods("1d", "Europe/Berlin")
    assert parse_options(read_options([])).periods is None
