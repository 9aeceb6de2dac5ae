"""The report's page: hostile texts, dead letters, empty databases, its size."""

import sqlite3
import time

import pytest
from html_page import Page
from report_pages import LOADING, SCRIPT, START, database, letter, metrics_row, random_rows, rendered

from clickstream.io.errors import UserError
from clickstream.page.report.figures import read_figures
from clickstream.page.report.write import RunCounts, render_report, write_report

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
