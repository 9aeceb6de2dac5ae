import gzip
import resource
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import chain

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.io.sample import BATCH, SampleOptions, live_records, sample_records, write_log
from clickstream.io.sample.tables import BROKEN_KINDS
from clickstream.transforms.parse.clicks import ParseOptions, parse_clicks
from clickstream.transforms.parse.urls import normalise_url
from clickstream.transforms.schema import RawBatch

SOUND = SampleOptions(events=60_000, broken_share=0)
NOW_MS = 1_780_000_000_000  # 2026
FIELDS = {
    "": {"row_key", "click_data", "geo_data", "user_agent_data"},
    "click_data": {"user_id", "timestamp", "url"},
    "geo_data": {"country", "city"},
    "user_agent_data": {"browser", "os", "device"},
}


def all_records(options):
    return list(chain.from_iterable(sample_records(options)))


def parse(values):
    return parse_clicks(RawBatch(values, "sample", range(len(values))), ParseOptions(), now_ms=NOW_MS)


@pytest.fixture(scope="module")
def sound():
    return [msgspec.json.decode(record) for record in all_records(SOUND)]


@pytest.fixture(scope="module")
def times(sound):
    stamps = [record["click_data"]["timestamp"][:-1] for record in sound]
    return np.array(stamps, "M8[ms]").astype(np.int64)


def test_same_options_give_the_same_bytes_and_another_seed_others():
    options = SampleOptions(events=25_000)
    first = list(sample_records(options))
    assert first == list(sample_records(options))
    assert [len(batch) for batch in first] == [BATCH, BATCH, 5_000]
    assert not set(first[0]) & set(next(sample_records(replace(options, seed=2))))


def test_every_sound_record_has_the_documented_fields(sound):
    for record in sound:
        assert set(record) == FIELDS[""]
        for family in ("geo_data", "user_agent_data"):
            assert set(record[family]) == FIELDS[family]
            assert all(isinstance(text, str) and text for text in record[family].values())
        extra = set(record["click_data"]) - FIELDS["click_data"]
        assert extra in (set(), {"time_spent"}, {"session_end"})
    assert len({record["row_key"] for record in sound}) == len(sound)
    assert 0.5 < sum("time_spent" in record["click_data"] for record in sound) / len(sound) < 0.9


def test_sound_records_are_clicks_nested_and_flat_alike():
    nested, flat = (parse(all_records(replace(SOUND, events=20_000, flat=flat))) for flat in (False, True))
    assert nested.clicks.num_rows == flat.clicks.num_rows == 20_000
    assert nested.clicks.equals(flat.clicks)


def test_records_have_the_size_of_real_ones():
    records = all_records(SOUND)
    assert 280 < sum(map(len, records)) / len(records) < 330


def test_broken_records_are_refused_and_no_others():
    sound, broken = (all_records(SampleOptions(events=40_000, broken_share=share)) for share in (0, 0.05))
    changed = [i for i, (before, after) in enumerate(zip(sound, broken, strict=True)) if before != after]
    assert 0.045 < len(changed) / len(sound) < 0.055
    refused = parse(broken).rejected
    assert refused["position"].to_pylist() == changed
    assert len(set(refused["reason"].to_pylist())) >= 8
    assert not any(b"\n" in record for record in broken)


@pytest.mark.parametrize("kind", BROKEN_KINDS)
@pytest.mark.parametrize("flat", [False, True])
def test_each_kind_breaks_any_record(kind, flat):
    sound = all_records(replace(SOUND, events=300, flat=flat))
    broken = [BROKEN_KINDS[kind](record) for record in sound]
    assert parse(broken).rejected.num_rows == len(sound)
    assert not any(b"\n" in record for record in broken)
    assert max(map(len, broken)) < 5_000


def test_times_are_in_order_up_to_the_disorder(times):
    behind = np.maximum.accumulate(times) - times
    assert 0 < behind.max() <= SOUND.disorder_seconds * 1000
    assert (np.diff(times) < 0).any()


def test_without_disorder_times_are_in_order():
    records = all_records(replace(SOUND, disorder_seconds=0))
    stamps = [msgspec.json.decode(record)["click_data"]["timestamp"] for record in records]
    assert stamps == sorted(stamps)


def test_late_records_are_their_share_and_not_later_than_asked():
    options = replace(SOUND, late_share=0.1, late_by_seconds=3_600)
    stamps = [msgspec.json.decode(record)["click_data"]["timestamp"][:-1] for record in all_records(options)]
    times = np.array(stamps, "M8[ms]").astype(np.int64)
    behind = np.maximum.accumulate(times) - times
    assert 0.07 < (behind > 10_000).mean() < 0.11
    assert 3_000_000 < behind.max() <= 3_602_000


def test_the_day_has_a_curve(times):
    begin = SOUND.start.timestamp() * 1000
    in_first_day = times[(times >= begin) & (times < begin + 86_400_000)]
    assert begin <= times.min()
    assert len(in_first_day) > 0.98 * len(times)
    by_hour = np.bincount(in_first_day // 3_600_000 % 24, minlength=24)
    assert 2 <= by_hour.argmin() <= 6
    assert 17 <= by_hour.argmax() <= 21
    assert by_hour.max() > 3 * by_hour.min()


def test_pages_follow_zipf_once_urls_are_normalised(sound):
    urls = [record["click_data"]["url"] for record in sound]
    pages = Counter(map(normalise_url, urls))
    assert len(pages) < 0.6 * len(set(urls))
    assert len(pages) <= SOUND.pages
    harmonic = sum(1 / n for n in range(1, SOUND.pages + 1))
    (first, clicks), (_, second) = pages.most_common(2)
    assert first == "https://www.example.com/"
    assert clicks / len(urls) == pytest.approx(1 / harmonic, rel=0.1)
    assert second == pytest.approx(clicks / 2, rel=0.1)


def test_visitors_stay_where_time_spent_says(sound, times):
    clicks = sorted(
        (record["click_data"]["user_id"], int(at), record["click_data"].get("time_spent"))
        for record, at in zip(sound, times, strict=True)
    )
    seen = {(user, at) for user, at, _ in clicks}
    reported = [(user, at + round(spent * 1000)) for user, at, spent in clicks if spent]
    met = sum(any((user, then + off) in seen for off in range(-2, 103)) for user, then in reported)
    assert met == len(reported)


def test_a_visitor_has_one_place_and_one_device(sound):
    homes = {}
    for record in sound:
        home = record["geo_data"], record["user_agent_data"]
        assert homes.setdefault(record["click_data"]["user_id"], home) == home
    assert len({home[0]["country"] for home in homes.values()}) == SOUND.countries


@settings(max_examples=25)
@given(
    events=st.integers(1, 30_000),
    users=st.integers(1, 50),
    pages=st.integers(1, 50),
    countries=st.integers(1, 20),
    duration_seconds=st.floats(1, 1e7),
    broken_share=st.floats(0, 1),
    late_share=st.floats(0, 1),
    disorder_seconds=st.floats(0, 1e4),
    flat=st.booleans(),
)
def test_any_options_give_as_many_records_as_asked(**options):
    batches = list(sample_records(SampleOptions(**options)))
    assert sum(map(len, batches)) == options["events"]
    assert all(len(batch) == BATCH for batch in batches[:-1])
    assert not any(b"\n" in record or not record for record in chain.from_iterable(batches))


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": 0},
        {"users": 0},
        {"pages": 0},
        {"countries": 21},
        {"seed": -1},
        {"broken_share": 1.1},
        {"broken_share": float("nan")},
        {"late_share": -0.1},
        {"duration_seconds": 0},
        {"start": datetime(2025, 6, 2)},  # noqa: DTZ001
    ],
)
def test_options_out_of_bounds_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SampleOptions(**wrong)


def test_it_is_fast():
    began = time.process_time()
    count = sum(map(len, sample_records(SampleOptions(events=200_000))))
    assert count / (time.process_time() - began) > 50_000


def test_live_records_come_at_their_rate_with_the_present_time():
    began = time.monotonic()
    for batch in live_records(SampleOptions(events=1_500, broken_share=0, disorder_seconds=0.5), rate=2_000):
        now = datetime.now(timezone.utc)
        for record in batch:
            at = datetime.fromisoformat(msgspec.json.decode(record)["click_data"]["timestamp"].replace("Z", "+00:00"))
            assert timedelta(0) <= now - at < timedelta(seconds=2)
    assert 0.6 < time.monotonic() - began < 5


def test_live_records_of_two_runs_have_different_keys():
    options = SampleOptions(events=10, broken_share=0)
    keys = [msgspec.json.decode(r)["row_key"] for _ in range(2) for b in live_records(options, rate=1e6) for r in b]
    assert len(set(keys)) == 20


def test_a_packed_log_holds_the_same_bytes(tmp_path):
    options = SampleOptions(events=12_000)
    for name in ("a.ndjson", "b.ndjson.gz", "c.zst"):
        assert write_log(tmp_path / name, options) == 12_000
    plain = (tmp_path / "a.ndjson").read_bytes()
    assert plain == b"".join(record + b"\n" for record in all_records(options))
    assert gzip.decompress((tmp_path / "b.ndjson.gz").read_bytes()) == plain
    assert zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / "c.zst").read_bytes()) == plain
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ndjson", "b.ndjson.gz", "c.zst"]


@pytest.mark.parametrize("name", ["a.ndjson", "a.gz", "a.zst"])
def test_the_same_options_give_the_same_file(tmp_path, name):
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        write_log(folder / name, SampleOptions(events=1_000))
    assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("before", [None, b"earlier"])
def test_an_interrupted_run_leaves_no_half_file(tmp_path, before):
    log = tmp_path / "clicks.gz"
    if before:
        log.write_bytes(before)

    def interrupt(records, size):
        if records > BATCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_log(log, SampleOptions(events=50_000), interrupt)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_progress_tells_records_and_bytes(tmp_path):
    told = []
    write_log(tmp_path / "clicks.ndjson", SampleOptions(events=15_000), lambda *counts: told.append(counts))
    assert [records for records, _ in told] == [10_000, 15_000]
    assert told[-1][1] == (tmp_path / "clicks.ndjson").stat().st_size


@pytest.mark.parametrize("name", [".", "none/clicks.ndjson", "clicks.bz2", "/dev/null"])
def test_a_log_that_cannot_be_written_is_one_line_with_the_cure(tmp_path, name):
    with pytest.raises(UserError) as raised:
        write_log(tmp_path / name, SampleOptions(events=10))
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # as near to a full disk as a test may come
    try:
        with pytest.raises(UserError, match="space"):
            write_log(tmp_path / "clicks.ndjson", SampleOptions(events=20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
