"""The report page: its numbers equal a recomputation from the rows, and nothing from the data can act in it."""

import hashlib
import json
import math
import random
import sqlite3
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.io.sql.tables import METRICS_COLUMNS, dead_letters_table, page_metrics_table
from clickstream.page.markup import duration
from clickstream.page.report import RunCounts, render_report, write_report
from clickstream.page.report_figures import MOST_HISTOGRAMS, MOST_POINTS, _bucket_seconds, read_figures

START = datetime(2025, 3, 14, tzinfo=timezone.utc)
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href", "ping", "style"}
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


MAX_THETA = 2**63 - 1
DASH = "\N{EN DASH}"


def metrics_row(start, url, country, *, clicks=1, users=1, spent=0.0, timed=0, window=300, **sketches):
    """A row as a policy other than dwell writes it without sketches, unless they are given."""
    times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (start, start + timedelta(seconds=window)))
    key = hashlib.sha256(url.encode()).digest()[:16]
    names = ("median_time_spent", "p90_time_spent", *SKETCHES)
    assert sketches.keys() <= set(names)
    mean = spent / timed if timed else None
    return (*times, key, url, country, clicks, users, spent, timed, mean, *map(sketches.get, names), clicks + timed)


SKETCHES = ("time_spent_histogram", "sessions", "bounces", "users_theta", "users_sketch")


def sketched(times=None, users=None, theta=MAX_THETA, sessions=None, bounces=None):
    """The cells of a row's sketches: clicks by their seconds, and users' hashes."""
    values = sorted(times or {})
    histogram = json.dumps({"values": values, "counts": [times[value] for value in values]}) if values else None
    cells = (histogram, sessions, bounces, None if users is None else theta, users and json.dumps(sorted(users)))
    return dict(zip(SKETCHES, cells, strict=True))


def letter(number, reason, *, source="logs/a.ndjson", detail="what was wrong", raw=b"{"):
    key = hashlib.sha256(b"%d" % number).digest()[:16]
    return (key, source, number, None, reason, detail, raw, "0.1.0", "2025-03-15 00:00:00")


def database(path, rows=(), letters=()):
    engine = sa.create_engine(f"sqlite:///{path}")
    for table in (page_metrics_table(), dead_letters_table()):
        table.metadata.create_all(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.executemany(f"INSERT INTO page_metrics VALUES ({', '.join('?' * len(METRICS_COLUMNS))})", rows)  # noqa: S608
        connection.executemany(f"INSERT INTO dead_letters VALUES ({', '.join('?' * 9)})", letters)  # noqa: S608
    connection.close()
    return path


def random_rows(count, *, seed=5, pages=60, countries=20):
    """Rows of distinct keys over a day of 5-minute windows, with exact sketches of users out of 3,000."""
    rng = random.Random(seed)
    keys = rng.sample(range(288 * pages * countries), count)
    for key in keys:
        window, page, country = key // countries // pages, key // countries % pages, key % countries
        clicks = rng.randint(1, 9)
        timed = rng.randint(0, clicks)
        at = START + timedelta(minutes=5 * window)
        times = Counter(rng.choice((4.0, 45.5, 700.25)) for _ in range(timed))
        spent = math.fsum(times.elements())
        users = {rng.randrange(3_000) * 2**51 for _ in range(clicks)}
        sessions = rng.randint(0, clicks)
        cells = sketched(times, users, sessions=sessions, bounces=rng.randint(0, sessions))
        numbers = {"clicks": clicks, "users": len(users), "spent": spent, "timed": timed}
        yield metrics_row(at, f"https://example.com/{page}", f"C{country}", **numbers, **cells)


def rendered(path, **run):
    return Page(render_report(read_figures(path), **run))


def number(text):
    return int(text.replace(",", ""))


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


def test_unknown_times_are_called_unknown(tmp_path):
    page = rendered(database(tmp_path / "c.db", [metrics_row(START, "https://e.com/", "DE", clicks=4)]))
    assert page.table("pages, by clicks") == [["https://e.com/", "4", DASH, DASH, DASH, *["unknown"] * 3, "0%"]]
    assert "The time spent is not known for any click." in page.text


HOSTILE = [
    SCRIPT,
    "javascript:alert(1)",
    "https://e.com/\u202egpj.exe\u200f\u2066",
    "https://e.com/\x00\x1b[31m\r\n\x9b",
    "]]></svg></style></title></bdi>-->",
    "{{7*7}} ${x} $title $$ %s",
    "https://e.com/" + "a" * 8_000,
    "https://عربي.example/مسار",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(tmp_path, text):
    html, harmless = (
        render_report(read_figures(everywhere(tmp_path / f"{i}.db", said))) for i, said in enumerate((text, "text"))
    )
    page = Page(html)
    check_harmless(page, html)
    assert [name for name, _ in page.tags] == [name for name, _ in Page(harmless).tags]
    assert (
        sum(name == "bdi" for name, _ in page.tags) == 8
    )  # isolated: two pages, two countries, four texts of a letter
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    for cell in (page.table("pages, by clicks")[0][0], page.table("countries, by clicks")[1][0]):
        head, cut, tail = cell.partition("…")
        assert (shown.startswith(head) and shown.endswith(tail) and len(cell) == 140) if cut else cell == shown


def everywhere(path, text):
    """A database with the text in every place that holds text from outside."""
    rows = [
        metrics_row(START, text, "DE", clicks=2, spent=1.5, timed=1),
        metrics_row(START, "https://e.com/", text),
    ]
    return database(path, rows, [letter(1, text, source=text, detail=text, raw=text.encode())])


def check_harmless(page, html):
    """Nothing loads, links out, or runs; every character prints; the markup's tags are only those that the report makes."""
    for name, attributes in page.tags:
        assert name not in {"script", "iframe", "object", "embed", "link", "img", "form", "base", "use", "image"}
        assert not LOADING & set(attributes)
        assert not any(key.startswith("on") for key in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert "http-equiv" not in attributes or attributes["http-equiv"] == "Content-Security-Policy"
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert all(character.isprintable() or character == "\n" for character in html)


def test_dead_letters_show_where_why_and_their_first_bytes(tmp_path):
    raw = b'\xff\xfe\x00 </script> \xe2\x80\xae"' + b"z" * 500
    path = database(tmp_path / "c.db", letters=[letter(77, "invalid_utf8", detail="at byte 0", raw=raw)])
    html = render_report(read_figures(path))
    page = Page(html)
    check_harmless(page, html)
    ((reason, count, example),) = page.table("Rejected records")
    assert (reason, count) == ("invalid_utf8", "1")
    assert example.startswith(
        "at byte 0logs/a.ndjson:77" + r'\xff\xfe\x00 </script> \u202e"' + "z" * (200 - len(raw) + 500)
    )
    assert example.endswith(f"z … {len(raw):,} bytes in all")
    assert example.count("z") == 200 - (len(raw) - 500)


def test_text_that_is_not_utf8_in_the_database_is_shown(tmp_path):
    path = database(tmp_path / "c.db", [metrics_row(START, "https://e.com/", "DE")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE page_metrics SET country = CAST(x'ff41' AS TEXT)")
    connection.close()
    assert rendered(path).table("countries, by clicks")[0][0] == r"\xffA"


def test_the_page_is_whole(tmp_path):
    """It has what readers and machines need to find their way: a language, a title, captions, headings, links within itself."""
    rows = list(random_rows(500))
    html = render_report(read_figures(database(tmp_path / "c.db", rows, [letter(1, "invalid_json")])))
    page = Page(html)
    check_harmless(page, html)
    assert ("html", {"lang": "en"}) in page.tags
    assert html.count("<title>") == 1
    assert all(table.caption for table in page.tables)
    anchors = [attributes["href"][1:] for name, attributes in page.tags if name == "a"]
    assert anchors == [attributes["id"] for name, attributes in page.tags if name == "section"]
    assert len(anchors) == 6
    assert all("aria-label" in attributes for name, attributes in page.tags if attributes.get("class") == "chart")
    assert html == render_report(read_figures(tmp_path / "c.db"))


def test_an_empty_database_has_a_page(tmp_path):
    html = render_report(read_figures(database(tmp_path / "c.db")))
    page = Page(html)
    check_harmless(page, html)
    assert page.fact("Clicks") == "0"
    assert "No clicks yet" in "".join(page.text)
    assert "No record was rejected." in page.text


def test_only_rejected_records_have_a_page(tmp_path):
    page = rendered(database(tmp_path / "c.db", letters=[letter(1, "invalid_json")]), run=RunCounts(1, 0, 1, 0))
    assert page.fact("+ rejected") == "1"
    assert page.table("Rejected records")[0][:2] == ["invalid_json", "1"]


def test_one_click_has_a_page(tmp_path):
    page = rendered(database(tmp_path / "c.db", [metrics_row(START, "https://e.com/", "DE", spent=2.5, timed=1)]))
    assert page.table("Clicks by the mean time") == [["under 10 s", "1", "100.0%", "1"]]
    assert page.table("Clicks and time spent over time") == [["2025-03-14 00:00", "1", "2.5 s", "100%"]]


def test_no_database_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"No database at .*none\.db: run the pipeline first"):
        write_report(tmp_path / "none.db", tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_the_database_is_left_as_it_was(tmp_path):
    path = database(tmp_path / "c.db", random_rows(100))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = path.read_bytes()
    write_report(path, tmp_path / "report.html")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.db", "report.html"]
    assert path.read_bytes() == before


def test_a_database_that_may_only_be_read_is_read(tmp_path):
    path = database(tmp_path / "c.db", random_rows(100))
    path.chmod(0o400)
    assert read_figures(path).over_time.rows == 100


def test_a_page_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"report\.html can't be written \(No such file or directory\)"):
        write_report(database(tmp_path / "c.db"), tmp_path / "none" / "report.html")


def test_200_000_rows_take_seconds_and_the_page_stays_small(tmp_path):
    path = database(tmp_path / "c.db", random_rows(1_000))
    with sqlite3.connect(path) as connection:
        connection.execute(MULTIPLIED)
    connection.close()
    started = time.process_time()
    figures = write_report(path, tmp_path / "report.html")
    assert time.process_time() - started < 5
    assert figures.over_time.rows == 200_000
    assert figures.pages > 10_000
    assert (tmp_path / "report.html").stat().st_size < 300_000


MULTIPLIED = """
WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < 199)
INSERT INTO page_metrics
SELECT window_start, window_end, CAST(url_hash || n AS BLOB), url || '/' || n, country, clicks, unique_users, time_spent_seconds,
       timed_clicks, avg_time_spent, median_time_spent, p90_time_spent, time_spent_histogram, sessions, bounces, users_theta,
       users_sketch, version
FROM page_metrics, copies"""
