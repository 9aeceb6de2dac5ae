import argparse
import json
from datetime import datetime, timezone

import pytest
from crowd import START, WINDOW, crowd, expect, table_of

from clickstream.io import sql
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.sql import SqlConnection, tables
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.options.values import moment
from clickstream.pipeline.query_answer import answer_json, answer_table
from clickstream.transforms.answer.totals import Answer
from clickstream.transforms.sketches import Users

SEEN = crowd(5, windows=30, sketch_size=15)
PAGE = "https://shop.example/"
SOME = Answer(3, 1234, Users(1000, 950, 1050, exact=False), 50, 20, 617, 12.34, 10.0, 3600.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("out")
    connection = SqlConnection("sqlite", str(made / "clickstream.db"))
    sql.setup_sql(connection)
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(SEEN))) == []
    writer.close()
    return made


@pytest.fixture
def ask(folder, capsys):
    def answer(*options):
        assert main(["query", f"--output_dir={folder}", *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return answer


def test_json_of_a_page_a_country_and_a_range(ask) -> None:
    found = json.loads(
        ask(
            "--format=json",
            f"--url={PAGE}",
            "--country=India",
            "--from=2026-11-01T05:40+05:30",
            "--to=2026-11-01T01:00:00Z",
        )
    )
    expected = expect(row for row in SEEN if (row.url, row.country) == (PAGE, "India") and 2 <= row.window < 12)
    assert (found["url"], found["country"]) == (PAGE, "India")
    assert (found["from"], found["to"]) == ("2026-11-01T00:10:00Z", "2026-11-01T01:00:00Z")
    assert (found["clicks"], found["unique_users"]) == (expected.clicks, expected.users)
    assert found["unique_users_exact"] == expected.exact is False
    assert found["unique_users_low"] < found["unique_users"] < found["unique_users_high"]
    assert (found["sessions"], found["bounces"]) == (expected.sessions, expected.bounces)
    assert found["timed_share"] == len(expected.times) / expected.clicks
    assert found["avg_time_spent"] == pytest.approx(expected.mean)
    assert found["median_time_spent"] == pytest.approx(expected.quantile(0.5), rel=0.01)
    assert found["p90_time_spent"] == pytest.approx(expected.quantile(0.9), rel=0.01)


def test_without_options_all_is_counted(ask) -> None:
    found = json.loads(ask("--format=json"))
    assert (found["rows"], found["clicks"]) == (len(SEEN), expect(SEEN).clicks)
    assert ask().splitlines()[4] == f"clicks        {expect(SEEN).clicks:,}"


@pytest.mark.parametrize("url", ["HTTPS://Shop.example:443", f"{PAGE}?utm_source=mail#top"])
def test_the_url_may_have_any_form_that_counts_as_the_page(ask, url) -> None:
    assert json.loads(ask("--format=json", f"--url={url}"))["url"] == PAGE
    kept = json.loads(ask("--format=json", f"--url={url}", "--url_normalisation=off"))
    assert (kept["url"], kept["clicks"], kept["unique_users"]) == (url, 0, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--url=shop.example"],
            "--url is no URL that a browser could open: write it whole, such as https://shop.example/cart.",
        ),
        (["--country=\udcff"], "--country holds what doesn't print"),
        (["--from=yesterday"], "'yesterday' is no time: write 2026-11-01"),
        (["--to=2026-11-31"], "'2026-11-31' is no time"),
        (["--to=0001-01-01T00:00:00+05:00"], "is no time"),
        (
            ["--from=2026-11-02", "--to=2026-11-02T05:30+05:30"],
            "--from=2026-11-02T00:00:00Z is not before --to=2026-11-02T00:00:00Z",
        ),
        (["--format=csv"], "invalid choice: 'csv'"),
        (["--urls=x"], "Unknown option --urls=x"),
        (["--output_dir=nowhere"], "nowhere holds no results: name a run's folder with --output_dir"),
        (["--mysql=mysql://a@b/c", "--elasticsearch=http://b:9200"], "name the one to ask"),
        (["--mysql=mysql://a:CANARY@b/c"], "--mysql must not hold a password"),
        (["--mysql=mysql://a@127.0.0.1:1/c"], "MySQL at 127.0.0.1:1/c: 2003 CR_CONN_HOST_ERROR: nothing answers there"),
        (["--elasticsearch=http://127.0.0.1:1"], "Elasticsearch can't be reached"),
        (["--elasticsearch=http://127.0.0.1:1", "--elasticsearch_index=*"], "'*' is no index name"),
    ],
)
def test_a_users_mistake_is_one_line(options, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["query", *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "CANARY" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_help_names_its_options_and_those_of_the_stores(capsys) -> None:
    assert main(["query", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"--{name}" in printed for name in ("url", "country", "from", "to", "format", "mysql", "elasticsearch"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", START),
        ("2026-11-01T00:05", START + WINDOW),
        ("2026-11-01T00:05:00Z", START + WINDOW),
        ("2026-11-01T05:30:00+05:30", START),
        ("2026-10-31T23:59:59.000001", START),
        ("9999-12-31", datetime(9999, 12, 31, tzinfo=timezone.utc)),
    ],
)
def test_times_are_whole_seconds_in_utc(text, expected) -> None:
    assert moment(text) == expected
    assert moment(text).tzinfo is timezone.utc


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "0999-01-01", "9999-12-31T23:59:59.9", "12"])
def test_what_is_no_time_is_refused(text) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        moment(text)


def test_the_table_says_what_is_known_and_what_is_not() -> None:
    table = answer_table(RowFilter(PAGE, "India\n\x1b[31m", START, START + WINDOW), SOME)
    assert table.splitlines() == [
        "page          https://shop.example/",
        "country       India\\n\\x1b[31m",
        "windows from  2026-11-01 00:00:00 UTC",
        "to            2026-11-01 00:05:00 UTC",
        "clicks        1,234",
        "unique users  about 1,000 (950 to 1,050 with 95 % certainty)",
        "sessions      50",
        "bounces       20 (40.0% of sessions)",
        "time known    617 (50.0% of clicks)",
        "mean time     12.3 s",
        "median time   10.0 s",
        "P90 time      3,600.5 s",
    ]
    nothing = SOME._replace(users=None, sessions=None, bounces=None, timed_clicks=0, avg_time_spent=None, clicks=0)
    lines = answer_table(RowFilter(), nothing).splitlines()
    assert lines[:4] == ["page          all", "country       all", "windows from  the first", "to            the last"]
    assert lines[5].startswith("unique users  not known: there are rows without sketches")
    assert lines[6:9] == ["sessions      not measured", "bounces       not measured", "time known    0"]
    assert lines[9] == "mean time     not known"
    assert "12 (exact)" in answer_table(RowFilter(), SOME._replace(users=Users(12, 12, 12, exact=True)))


def test_a_country_that_is_not_known_is_called_so() -> None:
    asked = RowFilter(country="")
    assert json.loads(answer_json(asked, SOME))["country"] == "unknown"
    assert answer_table(asked, SOME).splitlines()[1] == "country       unknown"


def test_json_has_null_for_what_is_not_known() -> None:
    found = json.loads(answer_json(RowFilter(), SOME._replace(users=None, sessions=None, clicks=0)))
    unknown = ["url", "country", "from", "to", "sessions", "timed_share"]
    assert [name for name, value in found.items() if value is None and "users" not in name] == unknown
    assert [found[f"unique_users{part}"] for part in ("", "_low", "_high", "_exact")] == [None] * 4
