"""The report page: its numbers equal a recomputation from the rows, and nothing from the data can act in it."""

import json
import math
from collections import defaultdict
from datetime import datetime, timedelta, timezone

from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from report_pages import DASH, START, database, letter, metrics_row, number, random_rows, rendered, sketched

from clickstream.page.markup import duration
from clickstream.page.report.figures import MOST_HISTOGRAMS, MOST_POINTS, _bucket_seconds, read_figures
from clickstream.page.report.write import RunCounts, render_report


def test_the_numbers_on_the_page_are_those_of_the_database(tmp_path):
    rows = list(random_rows(5_000))
    letters = [letter(i, ("invalid_json", "missing_field", "too_large")[min(i % 5, 2)]) for i in range(1_234)]
    page = rendered(database(tmp_path / "c.db", rows, letters), run=RunCounts(30_000, 28_000, 1_234, 766))

    clicks, timed, spent = (sum(row[i] for row in rows) for i in (5, 8, 7))
    mean = divmod(round(spent / timed), 60)
    assert [page.fact(name) for name in ("Clicks", "Windows", "Pages", "Countries", "Rejected records")] == [
        f"{clicks:,}",
        str(len({row[0] for row in rows})),
        "60",
        "20",
        "1,234",
    ]
    assert page.fact("Mean time spent") == f"{mean[0]} min {mean[1]} s"
    assert [page.fact(name) for name in ("Read", "= accepted", "+ rejected", "+ too late")] == [
        *("30,000", "28,000", "1,234", "766")
    ]
    assert "2025-03-14 00:00 to 2025-03-15 00:00 UTC" in page.text

    expected = sums(rows, key=3)
    top = sorted(expected.items(), key=lambda item: (-item[1][0], item[0]))[:20]
    shown = page.table("pages, by clicks")
    assert [(url, number(clicks), known) for url, clicks, *_, known in shown] == [
        (url, clicks, f"{timed / clicks:.0%}") for url, (clicks, timed, _) in top
    ]
    assert [cells[2:8] for cells in shown] == [by_hand([row for row in rows if row[3] == url]) for url, _ in top]
    assert page.fact("Clicks with a known time") == f"{timed:,} ({timed / clicks:.0%})"
    assert [page.fact(name) for name in ("Sessions", "Bounce rate")] == by_hand(rows)[1:3]
    countries = sorted(sums(rows, key=4).items(), key=lambda item: (-item[1][0], item[0]))[:12]
    assert [(name, number(count), share) for name, count, share, _, _ in page.table("countries, by clicks")] == [
        (name, count, f"{count / clicks:.1%}") for name, (count, *_) in countries
    ]
    reasons = [(reason, number(count)) for reason, count, _ in page.table("Rejected records")]
    assert reasons == [("too_large", 740), ("invalid_json", 247), ("missing_field", 247)]


def sums(rows, key):
    """Per page or country: clicks, timed clicks, and seconds."""
    totals = defaultdict(lambda: [0, 0, 0.0])
    for row in rows:
        total = totals[row[key]]
        for i, column in enumerate((5, 8, 7)):
            total[i] += row[column]
    return totals


def by_hand(rows):
    """What the page should say of rows with exact sketches: users, sessions, bounce rate, mean, median, P90."""
    histograms = [json.loads(row[12]) for row in rows if row[12]]
    times = sorted(
        value
        for found in histograms
        for value, count in zip(found["values"], found["counts"], strict=True)
        for _ in range(count)
    )
    users = {user for row in rows for user in json.loads(row[16])}
    sessions, bounces = (sum(row[i] for row in rows) for i in (13, 14))
    quantiles = (times[math.ceil(len(times) * share / 10) - 1] for share in (5, 9))
    spent = [duration(seconds) for seconds in (sum(times) / len(times), *quantiles)]
    return [f"{len(users):,}", f"{sessions:,}", f"{bounces / sessions:.0%}", *spent]


def test_users_are_counted_once_over_windows_and_countries(tmp_path):
    rows = [
        metrics_row(START, "https://e.com/", "DE", users=2, **sketched(users=[1, 2])),
        metrics_row(START, "https://e.com/", "FR", users=2, **sketched(users=[2, 3])),
        metrics_row(START + timedelta(hours=1), "https://e.com/", "DE", users=2, **sketched(users=[3, 1])),
        metrics_row(START, "https://e.com/b", "DE", **sketched(users=[9])),
    ]
    assert [row[2] for row in rendered(database(tmp_path / "c.db", rows)).table("pages, by clicks")] == ["3", "1"]


def test_users_of_a_full_sketch_are_marked_as_an_estimate(tmp_path):
    """Half of the hashes below theta = a half, 400 distinct ones: 800 users, give or take twice the root of 800."""
    half = 2**62
    rows = [
        metrics_row(START, "https://e.com/", "DE", **sketched(users=range(300), theta=half)),
        metrics_row(START, "https://e.com/", "FR", **sketched(users=[*range(200, 400), half, half + 1])),
    ]
    html = render_report(read_figures(database(tmp_path / "c.db", rows)))
    assert Page(html).table("pages, by clicks")[0][2] == "≈ 800"
    assert 'title="743 to 857 with 95 % certainty"' in html


def test_what_was_not_measured_is_a_dash(tmp_path):
    """Another policy than dwell: no sessions. Sketches off, if only in one row: no users. No session began: no bounce rate."""
    known = {"spent": 8.0, "timed": 2, "clicks": 3}
    rows = [
        metrics_row(START, "https://e.com/reported", "DE", **known, **sketched({4.0: 2}, [1, 2])),
        metrics_row(START, "https://e.com/reported", "FR", clicks=3),
        metrics_row(START, "https://e.com/off", "DE", **known, **sketched({4.0: 2}, sessions=2, bounces=1)),
        metrics_row(START, "https://e.com/none-began", "DE", **sketched(users=[1], sessions=0, bounces=0)),
    ]
    assert rendered(database(tmp_path / "c.db", rows)).table("pages, by clicks") == [
        ["https://e.com/reported", "6", DASH, DASH, DASH, "4.0 s", "4.0 s", "4.0 s", "33%"],
        ["https://e.com/off", "3", DASH, "2", "50%", "4.0 s", "4.0 s", "4.0 s", "67%"],
        ["https://e.com/none-began", "1", "1", "0", DASH, "unknown", "unknown", "unknown", "0%"],
    ]
    page = rendered(database(tmp_path / "reported.db", rows[:2]))
    assert [page.fact(name) for name in ("Sessions", "Bounce rate")] == [DASH, DASH]


def test_times_of_one_bucket_have_their_exact_mean_as_median(tmp_path):
    rows = [
        metrics_row(START, "https://e.com/", country, spent=600.0, timed=2, clicks=2, **sketched({298.77: 2}))
        for country in ("DE", "FR")
    ]
    assert rendered(database(tmp_path / "c.db", rows)).table("pages, by clicks")[0][5:8] == ["5 min"] * 3


def test_a_time_without_its_histogram_leaves_the_median_unknown(tmp_path):
    rows = [
        metrics_row(START, "https://e.com/", "DE", spent=4.0, timed=1, **sketched({4.0: 1})),
        metrics_row(START, "https://e.com/", "FR", spent=6.0, timed=1),
    ]
    shown = rendered(database(tmp_path / "c.db", rows)).table("pages, by clicks")[0][5:8]
    assert shown == ["5.0 s", "unknown", "unknown"]


def test_more_histograms_than_are_held_at_once_are_all_counted(tmp_path):
    rows = [
        metrics_row(START + timedelta(minutes=5 * i), "https://e.com/", "DE", **of_one_click(i))
        for i in range(2 * MOST_HISTOGRAMS + 9)
    ]
    assert rendered(database(tmp_path / "c.db", rows)).table("pages, by clicks")[0][2:8] == by_hand(rows)


def of_one_click(i):
    seconds = 10.0 + i % 11
    return {"spent": seconds, "timed": 1, **sketched({seconds: 1}, [i % 100], sessions=1, bounces=i % 2)}


def test_clicks_over_time_are_all_there_in_at_most_300_points(tmp_path):
    rows = [
        metrics_row(START + timedelta(minutes=i), "https://e.com/", "DE", clicks=i % 7 + 1, window=60)
        for i in range(2_000)
        if i % 500
    ]
    figures = read_figures(database(tmp_path / "c.db", rows))
    over_time = figures.over_time
    assert over_time.step_seconds == 600
    assert len(over_time.buckets) == 200
    expected = defaultdict(int)
    for row in rows:
        at = datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        expected[(at - START) // timedelta(minutes=10)] += row[5]
    assert [bucket.clicks for bucket in over_time.buckets] == [expected[i] for i in range(200)]
    listed = Page(render_report(figures)).table("Clicks and time spent over time")
    assert [number(row[1]) for row in listed] == [expected[i] for i in range(200)]
    assert listed[1][0] == "2025-03-14 00:10"


@given(st.integers(1, 10 * 366 * 86_400), st.integers(1, 31 * 86_400))
def test_a_bucket_is_a_multiple_of_the_window_and_there_are_few(seconds, window):
    step = _bucket_seconds(seconds, window)
    assert step % window == 0
    assert -(-seconds // step) <= MOST_POINTS


def test_a_click_from_another_decade_does_not_flatten_the_chart(tmp_path):
    rows = [metrics_row(START + timedelta(minutes=5 * i), "https://e.com/", "DE", clicks=100) for i in range(288)]
    rows.append(metrics_row(datetime(1971, 1, 1, tzinfo=timezone.utc), "https://e.com/", "DE", clicks=3))
    figures = read_figures(database(tmp_path / "c.db", rows))
    page = Page(render_report(figures))
    assert figures.over_time.step_seconds == 300
    assert page.fact("Clicks") == "28,803"
    drawn = sum(bucket.clicks for bucket in figures.over_time.buckets)
    assert drawn >= 0.99 * 28_800
    assert f"{28_803 - drawn:,} clicks lie far before or after this stretch" in "".join(page.text)
    assert "1971-01-01 00:00 to 2025-03-15 00:00 UTC" in page.text


def test_windows_of_two_lengths_in_one_database_are_pointed_out(tmp_path):
    rows = [
        metrics_row(START, "https://e.com/", "DE"),
        metrics_row(START + timedelta(hours=1), "https://e.com/", "DE", window=3600),
    ]
    text = "".join(rendered(database(tmp_path / "c.db", rows)).text)
    assert "Windows of 5 min and of 1 h share this database" in text


def test_clicks_without_a_country_are_under_unknown(tmp_path):
    rows = [metrics_row(START, "https://e.com/", country, clicks=n) for country, n in (("", 3), ("DE", 1))]
    page = rendered(database(tmp_path / "c.db", rows))
    assert [row[:2] for row in page.table("countries, by clicks")] == [["unknown", "3"], ["DE", "1"]]


def test_unknown_times_are_called_unknown(tmp_path):
    page = rendered(database(tmp_path / "c.db", [metrics_row(START, "https://e.com/", "DE", clicks=4)]))
    assert page.table("pages, by clicks") == [["https://e.com/", "4", DASH, DASH, DASH, *["unknown"] * 3, "0%"]]
    assert "The time spent is not known for any click." in page.text
