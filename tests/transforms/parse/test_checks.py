"""The checks of columns: the first that fails gives the reason, under the record's own number."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from clickstream.transforms import memo
from clickstream.transforms.parse import urls
from clickstream.transforms.parse.checks import (
    Checks,
    Countries,
    check_countries,
    check_required_text,
    check_session_ends,
    check_timestamps,
    check_urls,
)

START = 1_793_527_200_000


def reasons(checks: Checks, count: int) -> list[str | None]:
    found = {refusal.number: refusal.reason for refusal in checks.refusals(np.arange(count))}
    return [found.get(i) for i in range(count)]


def texts_of(*texts: str) -> pa.StringArray:
    return pa.array(texts, pa.string())


def test_the_first_check_that_fails_gives_the_reason() -> None:
    checks = Checks(4)
    assert checks.passed is None
    checks.refuse(np.array([False] * 4), "never", "")
    assert checks.passed is None
    checks.refuse(np.array([True, True, False, False]), "first", "a")
    checks.refuse(np.array([False, True, True, False]), "second", "b")
    checks.refuse(np.array([True, True, False, False]), "third", "c")
    assert checks.passed.tolist() == [False, False, False, True]
    assert [tuple(r) for r in checks.refusals(np.array([3, 5, 7, 9]))] == [
        (3, "first", "a"),
        (5, "first", "a"),
        (7, "second", "b"),
    ]


def test_white_space_of_every_kind_is_dropped_around_a_text_and_kept_inside() -> None:
    blank = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
    assert len(blank) > 20
    checks = Checks(3)
    texts = check_required_text("country", texts_of(f"{blank}New{blank}Zealand{blank}", blank, "India"), checks)
    assert texts.to_pylist() == [f"New{blank}Zealand", "", "India"]
    assert reasons(checks, 3) == [None, "empty_country", None]


def test_a_text_is_measured_in_characters_after_trimming() -> None:
    checks = Checks(4)
    check_required_text("user_id", texts_of("😀" * 512, f"  {'é' * 512}\t", "x" * 513, "x" * 511 + " x"), checks)
    assert reasons(checks, 4) == [None, None, "field_too_long", "field_too_long"]


def test_the_bounds_of_event_time_are_inclusive() -> None:
    checks = Checks(5)
    raw = [START - 1, START, START + 10, START + 11, "soon"]
    check_timestamps(raw, checks, earliest=START, latest=START + 10)
    assert reasons(checks, 5) == ["event_too_old", None, None, "event_in_future", "invalid_timestamp"]


def test_a_session_may_end_with_its_click_and_not_before() -> None:
    checks = Checks(5)
    raw = [None, START, START - 1, "2026-11-01T10:00:00.001Z", "never"]
    ends = check_session_ends(raw, checks, np.full(5, START))
    assert ends.cast(pa.int64()).to_pylist() == [None, START, None, START + 1, None]
    assert reasons(checks, 5) == [None] * 5
    assert checks.mended == {"session_end_unknown": 2}


def test_a_country_that_is_not_known_is_empty_or_refused() -> None:
    raw = pa.array(["India", None, "", " \u3000", "unknown", "x" * 129])
    checks = Checks(6)
    assert check_countries(raw, checks, Countries()).to_pylist()[:5] == ["India", "", "", "", ""]
    assert reasons(checks, 6) == [None] * 5 + ["field_too_long"]
    required = Checks(6)
    check_countries(raw, required, Countries(is_required=True))
    assert reasons(required, 6) == [None, *["empty_country"] * 4, "field_too_long"]


def test_no_session_ends_at_all_are_nulls() -> None:
    assert check_session_ends([None, None], Checks(2), np.full(2, START)).null_count == 2


def test_each_good_url_is_looked_at_once(monkeypatch) -> None:
    seen = []
    normalise = urls._normalise
    monkeypatch.setattr(urls, "_normalise", lambda url, form: (seen.append(url), normalise(url, form))[1])
    urls._memo.cache_clear()
    checks = Checks(7)
    long = "http://a/" + "x" * 9000
    raw = ["HTTP://A", "http://a/", "ftp://a/", long, "ftp://a/", "HTTP://A", long]
    found = check_urls(texts_of(*raw), checks, urls.UrlForm())
    assert [seen.count(url) for url in ("HTTP://A", "http://a/")] == [1, 1]
    assert [url for url in found.to_pylist() if url] == ["http://a/"] * 3
    assert reasons(checks, 7) == [None, None, "invalid_url", "url_too_long", "invalid_url", None, "url_too_long"]


def test_the_table_of_urls_does_not_grow_without_end(monkeypatch) -> None:
    monkeypatch.setattr(memo, "MOST", 10)
    urls._memo.cache_clear()
    cache = urls._memo(urls.UrlForm())
    assert [cache[f"http://a/{n}"] for n in range(95)] == [f"http://a/{n}" for n in range(95)]
    assert len(cache) <= 10


@pytest.mark.parametrize("url", ["ftp://s3cret.example/", "http://s3cret.example:x/", "http://a|s3cret/"])
def test_a_refusals_detail_holds_nothing_of_the_url(url) -> None:
    checks = Checks(1)
    check_urls(texts_of(url), checks, urls.UrlForm())
    assert "s3cret" not in checks.refusals(np.arange(1))[0].detail


def test_no_records_are_no_refusals() -> None:
    checks = Checks(0)
    check_timestamps(texts_of(), checks, earliest=0, latest=1)
    check_required_text("user_id", texts_of(), checks)
    check_urls(texts_of(), checks, urls.UrlForm())
    assert checks.passed is None
