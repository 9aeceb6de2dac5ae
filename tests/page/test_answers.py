"""Views of SQLite with rows made by hand: every number against brute force."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, quote

import pytest
from crowd import START, WINDOW, Seen, crowd, expect, table_of
from sums import chosen, grouped

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_sums import SqlStore
from clickstream.io.sql import SqlConnection, tables
from clickstream.page.address import Address, read_address
from clickstream.page.answers import page_answers
from clickstream.page.answers.page_answers import PageAnswers

SEEN = crowd(5, windows=2 * 288, sketch_size=60)
NOON = START + timedelta(days=1, hours=12)
PAGE = "https://shop.example/cart?a=1&b=%20"
QUOTED = quote(PAGE, safe="")


def write(connection, seen):
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(seen))) == []
    writer.close()


@pytest.fixture
def connection(tmp_path):
    made = SqlConnection("sqlite", str(tmp_path / "c.db"))
    sql.setup_sql(made)
    return made


@pytest.fixture
def answers(connection):
    write(connection, SEEN)
    return PageAnswers({"": SqlStore(connection)}, "Asia/Kolkata")


def view_of(answers, query="", now=NOON):
    parsed = read_address(dict(parse_qsl(query)), "Asia/Kolkata")
    return answers.view(parsed, now=now, wait_seconds=60)


def check_answer(answer, seen):
    wanted = expect(seen)
    assert (answer.clicks, answer.users.estimate, answer.users.exact) == (wanted.clicks, wanted.users, wanted.exact)
    assert answer.avg_time_spent == (pytest.approx(wanted.mean) if wanted.times else None)
    for share, found in ((0.5, answer.median_time_spent), (0.9, answer.p90_time_spent)):
        assert found == (pytest.approx(wanted.quantile(share), rel=0.021) if wanted.times else None)


def check_view(view, seen):
    period = view.period
    rows = chosen(seen, RowFilter(view.address.url, view.address.country, period.start, period.end))
    assert not view.pending
    assert (period.sums.clicks, period.rows) == (expect(rows).clicks, len(rows))
    check_answer(period.answer, rows)
    assert period.edges[0] <= period.start < period.edges[1]
    assert period.edges[-2] < period.end <= period.edges[-1]
    for step, start, end in zip(period.steps, period.edges[:-1], period.edges[1:], strict=True):
        own = [row for row in rows if start <= row.start < end]
        assert step.sums.clicks == expect(own).clicks
        check_answer(step.answer, own)
    for listing, key in ((view.pages, "url"), (view.countries, "country")):
        groups = grouped(rows, lambda row, key=key: getattr(row, key))
        assert listing.count == len(groups)
        assert [line.sums.name for line in listing.lines] == sorted(
            groups, key=lambda name: (-expect(groups[name]).clicks, name)
        )
        for line in listing.lines:
            assert line.sums.clicks == line.answer.clicks
            check_answer(line.answer, groups[line.sums.name])
    return rows


@pytest.mark.parametrize(
    "query",
    [
        "",
        "range=1h",
        "range=7d",
        "country=India",
        f"range=7d&page={QUOTED}",
        "range=free&from=2026-11-01T05:37&to=2026-11-01T11:02",
        "range=free&from=2026-11-01&to=2026-11-02",
    ],
)
def test_a_view_is_what_its_rows_say(answers, query) -> None:
    assert check_view(view_of(answers, query), SEEN)


def test_a_range_up_to_now_holds_it_and_begins_with_a_whole_step(answers) -> None:
    view = view_of(answers, "range=1d", now=NOON + timedelta(seconds=61))
    assert (view.period.start, view.period.end) == (NOON - timedelta(days=1), NOON + timedelta(minutes=2))
    assert view.period.edges[1] - view.period.edges[0] == timedelta(minutes=15)
    assert not view.lagging


def test_where_nothing_is_that_new_the_last_there_is_is_shown(answers) -> None:
    view = view_of(answers, "range=1h", now=NOON + timedelta(days=30))
    assert view.lagging
    assert view.period.end == view.extent.last == START + 576 * WINDOW
    assert check_view(view, SEEN)


def test_compared_with_the_period_before(answers) -> None:
    view = view_of(answers, f"range=free&from=2026-11-02T05:30&to=2026-11-02T17:30&compare=on&page={QUOTED}")
    check_view(view, SEEN)
    assert (view.before.start, view.before.end) == (START + timedelta(hours=12), START + timedelta(hours=24))
    earlier = chosen(SEEN, RowFilter(PAGE, None, view.before.start, view.before.end))
    check_answer(view.before.answer, earlier)
    assert len(view.before.steps) == len(view.period.steps)
    by_country = grouped(earlier, lambda row: row.country)
    assert [line.clicks_before for line in view.countries.lines] == [
        expect(by_country.get(line.sums.name, [])).clicks for line in view.countries.lines
    ]


def test_what_changes_in_the_store_changes_in_the_view_and_only_that_is_read_again(
    answers, connection, monkeypatch
) -> None:
    store, asked = answers._stores[""], []
    monkeypatch.setattr(
        SqlStore,
        "rows",
        lambda self, wanted, columns, rows=SqlStore.rows: asked.append(wanted) or rows(self, wanted, columns),
    )
    check_view(view_of(answers), SEEN)
    assert len(asked) == 1
    check_view(view_of(answers), SEEN)
    assert len(asked) == 1, store
    place = next(i for i, row in enumerate(SEEN) if row.start == NOON - 3 * WINDOW)
    more = SEEN[place]._replace(clicks=[*SEEN[place].clicks, ("somebody new", 90_000)])
    new = Seen(SEEN[place].window, "https://shop.example/new", "Chad", [("somebody new", None)], 200)
    write(connection, [more, new])
    seen = [*SEEN[:place], more, *SEEN[place + 1 :], new]
    view = view_of(answers)
    check_view(view, seen)
    assert "Chad" in [line.sums.name for line in view.countries.lines]
    assert len(asked) == 2
    assert asked[1].end - asked[1].start <= timedelta(hours=1)


def test_while_users_are_computed_the_sums_are_there(answers) -> None:
    view = answers.view(Address("7d"), now=NOON, wait_seconds=0)
    assert (
        view.period.sums.clicks
        == expect(chosen(SEEN, RowFilter(None, None, view.period.start, view.period.end))).clicks
    )
    assert view.pending == (view.period.answer is None)
    check_view(view_of(answers, "range=7d"), SEEN)


def test_of_too_many_rows_there_are_sums_and_the_reason(answers, monkeypatch) -> None:
    monkeypatch.setattr(page_answers, "MOST_ROWS", 10)
    view = view_of(answers)
    assert view.period.sums.clicks
    assert (view.period.answer, view.pending) == (None, False)
    assert "more than 10 rows: choose a shorter range" in view.unanswered


def hours_of(seen):
    """Rows of whole hours, of who was there."""
    for (hour, url, country), own in grouped(seen, lambda row: (row.window // 12, row.url, row.country)).items():
        clicks, wanted = [click for row in own for click in row.clicks], expect(own)
        sums = {"sessions": wanted.sessions, "bounces": wanted.bounces, "window_end": START + (hour + 1) * 12 * WINDOW}
        yield Seen(hour * 12, url, country, clicks).row() | sums


def test_hours_are_read_where_they_are_there_and_say_the_same(connection, monkeypatch) -> None:
    """Their users are exact, where those of the windows are estimated."""
    import pyarrow as pa

    from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

    write(connection, SEEN)
    rolled_up = replace(connection, metrics_table="page_metrics_1h")
    answers = PageAnswers({"": SqlStore(connection), "1h": SqlStore(rolled_up)}, "UTC")
    week = "range=free&from=2026-10-27&to=2026-11-03"
    estimated = answers.view(
        read_address(dict(p.split("=") for p in week.split("&")), "UTC"), now=NOON, wait_seconds=60
    )
    assert not estimated.period.answer.users.exact
    sql.setup_sql(rolled_up)
    writer = sql.metrics_writer(rolled_up)
    rows = list(hours_of([row for row in SEEN if row.window >= 12]))  # the first hour isn't there
    assert writer.write(tables.metric_columns(pa.Table.from_pylist(rows, PAGE_METRICS_SCHEMA))) == []
    writer.close()
    asked = []
    monkeypatch.setattr(
        SqlStore,
        "rows",
        lambda self, wanted, columns, rows=SqlStore.rows: asked.append(self.place) or rows(self, wanted, columns),
    )
    view = answers.view(estimated.address, now=NOON, wait_seconds=60)
    assert len(asked) == 1
    wanted = expect(SEEN)
    assert (view.period.answer.clicks, view.period.sums.clicks) == (wanted.clicks, wanted.clicks)
    assert view.period.answer.avg_time_spent == pytest.approx(wanted.mean)
    later = next(
        step
        for step, edge in zip(view.period.steps, view.period.edges, strict=False)
        if edge == START + timedelta(hours=12)
    )
    own = [row for row in SEEN if START + timedelta(hours=12) <= row.start < START + timedelta(hours=14)]
    assert later.answer.users == (len({user for row in own for user in row.users}),) * 3 + (True,)


def test_an_empty_store_is_a_view_too_and_a_missing_one_an_error(connection, tmp_path) -> None:
    view = PageAnswers({"": SqlStore(connection)}, "UTC").view(Address())
    assert (view.extent, view.period) == (None, None)
    with pytest.raises(UserError, match="no such table"):
        PageAnswers({"": SqlStore(replace(connection, metrics_table="other"))}, "UTC").view(Address())


def test_days_of_a_site_whose_clocks_change(connection) -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=timezone.utc)  # midnight in Berlin; the day has 25 hours
    offset = (start - START) // WINDOW
    seen = [Seen(offset + i, "https://a.example/", "Germany", [(f"u{i}", 1000 * i)]) for i in range(-12, 25 * 12 + 12)]
    write(connection, seen)
    answers = PageAnswers({"": SqlStore(connection)}, "Europe/Berlin")
    query = {"range": "free", "from": "2026-10-25", "to": "2026-10-26", "compare": "on"}
    view = answers.view(read_address(query, "Europe/Berlin"), now=NOON, wait_seconds=60)
    assert view.period.sums.clicks == 25 * 12
    assert (view.before.start, view.before.end) == (start - timedelta(days=1), start)
    assert len(view.period.edges) == 101
