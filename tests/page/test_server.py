"""The page's server without a browser: who is let in, what is answered, and that nothing from the data can act."""

import contextlib
import csv
import io
import re
import socket
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from crowd import Seen, table_of
from html_page import Page

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.health_client import Health
from clickstream.io.results import Rejection
from clickstream.io.results.sql_sums import SqlStore
from clickstream.io.sql import SqlConnection, tables
from clickstream.page.answers.page_answers import PageAnswers
from clickstream.page.live import timed_protocol
from clickstream.page.live.downloads import safe_text
from clickstream.page.live.server import bind, page_app, serve

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
URLS = [
    f"https://a.example/?q={SCRIPT}",
    "javascript:alert(1)",
    "https://a.example/\u202egnp.exe",
    '=HYPERLINK("https://evil.example")',
]
COUNTRIES = [SCRIPT, "\u202eaidnI", "@SUM(1+1)", "-2+3", "Côte d'Ivoire", ""]
NOW = datetime.now(timezone.utc).replace(microsecond=0)
HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp()) // 300 * 300
LETTERS = [Rejection(f"reason {SCRIPT}", 3, "=cmd|'/C calc'!A0", 7, SCRIPT, f"\x00{SCRIPT}\u202e".encode(), 5000)]


class Stub:
    """A source with a store of its own; what it is told to raise, it raises."""

    time_zone = "Asia/Kolkata"

    def __init__(self, answers):
        self._answers, self.trouble, self.job = answers, "", None

    def _check(self):
        if self.trouble:
            raise UserError(self.trouble)

    def view(self, address, wait_seconds=None):
        self._check()
        return self._answers.view(address, wait_seconds=60)

    def rejections(self):
        self._check()
        return LETTERS, "Kept here"

    def late(self):
        return 12, "Counted by the live job."

    def health(self):
        self._check()
        return self.job


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    connection = SqlConnection("sqlite", str(tmp_path_factory.mktemp("page") / "c.db"))
    sql.setup_sql(connection)
    start = datetime.fromtimestamp(HOUR_AGO, timezone.utc)
    rows = [Seen(0, url, country, [("u", 1500), ("v", None)]) for url in URLS for country in COUNTRIES]
    table = table_of(rows).to_pylist()
    for row in table:
        row |= {"window_start": start, "window_end": start + timedelta(minutes=5)}
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(rows).from_pylist(table, table_of(rows).schema))) == []
    writer.close()
    return PageAnswers({"": SqlStore(connection)}, Stub.time_zone)


@pytest.fixture
def source(answers):
    return Stub(answers)


@contextmanager
def served(source, token=None):
    """A client of the server itself."""
    listening, stop = bind("127.0.0.1", 0), threading.Event()
    thread = threading.Thread(target=serve, args=(page_app(source, token), listening, stop))
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            yield client
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def client(source):
    with served(source) as client:
        yield client


def check_harmless(html):
    """Of what a browser makes of it: our tags, our script, links to ourselves, no handlers."""
    page = Page(html)
    assert [attributes.get("src") for name, attributes in page.tags if name == "script"] == ["/static/page.js"]
    assert not any(name in ("img", "iframe", "object", "base", "style") for name, _ in page.tags)
    for name, attributes in page.tags:
        assert not any(key.startswith("on") or key == "style" for key in attributes), (name, attributes)
        for key in ("href", "action"):
            assert attributes.get(key, "/").startswith(("/", "#")), attributes
    assert "\u202e" not in html
    return page


def test_hostile_names_are_shown_and_do_nothing(client) -> None:
    page = check_harmless(client.get("/").text)
    shown = page.table("pages, by clicks")
    assert sorted(row[0] for row in shown) == sorted(url.replace("\u202e", "\\u202e") for url in URLS)
    assert [row[1] for row in shown] == [str(2 * len(COUNTRIES))] * len(URLS)
    check_harmless(client.get("/rejected").text)
    links = {
        attributes["href"] for name, attributes in page.tags if name == "a" and "page=" in attributes.get("href", "")
    }
    assert len(links) >= len(URLS) - 1
    for link in links:
        answer = client.get(link)
        if "%E2%80%AE" in link:  # it can't be asked for: an address must not hold it
            assert answer.status_code == 400
        else:
            found = check_harmless(answer.text)
            assert len(found.table("All 1 pages")) == 1


def test_clicks_without_a_country_are_under_unknown(client) -> None:
    page = Page(client.get("/").text)
    assert ["unknown", str(2 * len(URLS))] in [row[:2] for row in page.table("countries, by clicks")]
    assert "/?country=unknown" in {attributes.get("href") for name, attributes in page.tags if name == "a"}
    only = Page(client.get("/?country=unknown").text)
    assert only.fact("Clicks") == str(2 * len(URLS))
    assert ("input", "unknown") in {(name, attributes.get("value")) for name, attributes in only.tags}


def test_no_request_leaves_the_machine_and_no_script_of_others_runs(client) -> None:
    for path in ("/", "/rejected", "/health", "/pages.csv", "/static/page.js", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self';")
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    for name in ("style.css", "page.css", "page.js", "icon.svg"):
        text = client.get(f"/static/{name}").text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)


def test_it_only_reads(client) -> None:
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client, method)("/").status_code == 405


def test_another_sites_name_is_refused(client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::2]:8350"):
        assert client.get("/", headers={"host": host}).status_code == 421
    for host in ("localhost:1", "127.0.0.1", "[::1]:8350"):
        assert client.get("/health", headers={"host": host}).status_code == 200


def test_elsewhere_a_token_is_asked_for(source) -> None:
    token = "s3cret-token-of-24-chars"
    with served(source, token) as client:
        for path in ("/", "/rejected", "/health", "/pages.csv"):
            answer = client.get(path, headers={"host": "stats.example", "cookie": "clickstream_token=wrong; x"})
            assert answer.status_code == 401
            assert "https://a.example" not in answer.text
        assert client.get("/static/style.css").status_code == 200
        assert client.get("/?token=wrong").status_code == 401
        assert client.post("/", data={"token": "wrong"}).status_code == 401
        away = client.post(str(client.base_url) + "//evil.example/", data={"token": token})
        assert (away.status_code, away.headers["location"]) == (303, "/evil.example/")
        client.cookies.clear()
        answer = client.get(f"/?range=7d&token={token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?range=7d")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert client.get("/?range=7d").status_code == 200


def test_what_forms_send_is_led_to_the_shortest_address(client) -> None:
    answer = client.get("/?page=&country=Chad&range=1d&from=2026-01-01&to=")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?country=Chad")
    wrong = client.get("/?range=free&from=x")
    assert wrong.status_code == 400
    assert "needs two times" in wrong.text


def test_downloads_hold_what_is_shown_and_no_formula(client) -> None:
    pages, countries, steps, rejected = (
        list(csv.reader(io.StringIO(client.get(f"/{name}.csv").text)))
        for name in ("pages", "countries", "over-time", "rejected")
    )
    assert pages[0][:4] == ["url", "clicks", "unique_users", "unique_users_exact"]
    assert sorted(row[0] for row in pages[1:]) == sorted([*URLS[:3], "'" + URLS[3]])
    assert sorted(row[0] for row in countries[1:]) == sorted(
        [*COUNTRIES[:2], "'@SUM(1+1)", "'-2+3", "Côte d'Ivoire", "unknown"]
    )
    assert all(row[1:4] == ["12", "2", "true"] for row in pages[1:])
    assert sum(int(row[1]) for row in steps[1:]) == 48
    assert rejected[1][0] == LETTERS[0].reason
    assert rejected[1][2] == "'=cmd|'/C calc'!A0"
    assert rejected[1][5] == rf"\x00{SCRIPT}" + "\u202e"
    assert client.get("/pages.csv").headers["content-disposition"] == 'attachment; filename="clickstream-pages.csv"'


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", " =", "\n=", "\u00a0=", *"\uff1d\uff0b\uff0d\uff20"]
)
def test_each_beginning_of_a_formula_is_quoted(start) -> None:
    assert safe_text(f"{start}1") == f"'{start}1"


def test_a_store_that_is_away_is_named_over_the_last_numbers_and_comes_back(client, source) -> None:
    before = Page(client.get("/").text).table("pages, by clicks")
    source.trouble = "The store is away: start it."
    page = check_harmless(client.get("/").text)
    assert "The store is away: start it." in "".join(page.text)
    assert page.table("pages, by clicks") == before
    assert "Shown is what was known at" in "".join(page.text)
    for path in ("/?range=7d", "/rejected", "/health"):
        answer = client.get(path)
        assert (answer.status_code, "The store is away: start it." in answer.text) == (200, True)
    assert client.get("/pages.csv").status_code == 503
    source.trouble = ""
    assert "away" not in client.get("/").text


def test_health_says_how_the_job_does(client, source) -> None:
    assert "No live job is connected." in client.get("/health").text
    now_ms = datetime.now(timezone.utc).timestamp() * 1000
    numbers = {
        "events_per_second": 1234.4,
        "lag": 70,
        "lag_by_partition": {"0": 50, "10": 20, "2": 0},
        "watermark_ms": now_ms - 125_000,
    }
    counts = {"windows_written": 31, "rows_written": 4567, "rejected": 8, "too_late": 9, "sink_retries": 3}
    source.job = Health(
        "failing",
        reason=f"Elasticsearch is away {SCRIPT}",
        last_error=SCRIPT,
        last_error_at_ms=now_ms,
        **numbers,
        **counts,
    )
    page = check_harmless(client.get("/health").text)
    facts = {
        "Events a second": "1,234",
        "Lag, records": "70",
        "Watermark age": "2 min 5 s",
        "Sink retries": "3",
        "Late clicks": "9",
    }
    assert {name: page.fact(name) for name in facts} == facts
    assert page.table("Records that wait") == [["0", "50"], ["2", "0"], ["10", "20"]]
    assert f"Elasticsearch is away {SCRIPT}" in "".join(page.text)
    source.job = Health("ok")
    assert "running well" in client.get("/health").text


def test_late_clicks_and_reasons_are_on_the_second_tab(client) -> None:
    page = Page(client.get("/rejected").text)
    assert (page.fact("Rejected records"), page.fact("Late clicks")) == ("3", "12")
    [[reason, records, example]] = page.table("Rejected records by reason")
    assert (reason, records) == (LETTERS[0].reason, "3")
    assert "\\x00<script>" in example


def test_the_next_free_port_is_taken_and_a_taken_one_is_told() -> None:
    first = bind("127.0.0.1", None)
    second = bind("127.0.0.1", None)
    try:
        assert 8350 <= first.getsockname()[1] < second.getsockname()[1] < 8400
        with pytest.raises(
            UserError, match=r"can't listen on 127.0.0.1:\d+ \(Address already in use\): name another --page_port"
        ):
            bind("127.0.0.1", first.getsockname()[1])
    finally:
        first.close()
        second.close()


def test_control_characters_are_spelt_out_in_downloads() -> None:
    assert safe_text("a\x1b[2J\x00\x07\x7f\x9b31m") == r"a\x1b[2J\x00\x07\x7f\x9b31m"
    assert safe_text("two\tlines\r\n") == "two\tlines\r\n"


def test_a_list_that_is_cut_says_so_in_the_downloads_name(client, source, monkeypatch) -> None:
    """Of many pages only the top are shown, and in the file."""
    view = source.view

    def cut(*asked):
        found = view(*asked)
        return replace(found, pages=replace(found.pages, count=1000))

    monkeypatch.setattr(source, "view", cut)
    assert client.get("/pages.csv").headers["content-disposition"].endswith('"clickstream-pages-top-4.csv"')
    assert client.get("/countries.csv").headers["content-disposition"].endswith('"clickstream-countries.csv"')
    assert "CSV, the top 4 pages only" in client.get("/").text


HALF = [
    b"",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf",
]


def test_who_sends_half_a_request_is_cut_off_and_others_are_answered(source, monkeypatch) -> None:
    monkeypatch.setattr(timed_protocol, "REQUEST_SECONDS", 1.0)
    listening, stop = bind("127.0.0.1", None), threading.Event()
    place = ("127.0.0.1", listening.getsockname()[1])
    serving = threading.Thread(target=serve, args=(page_app(source), listening, stop))
    serving.start()
    try:
        waiting = [socket.create_connection(place, 20) for _ in range(60)]
        for number, connection in enumerate(waiting):
            connection.sendall(HALF[number % 3])
        with urllib.request.urlopen(f"http://127.0.0.1:{place[1]}/static/page.css", timeout=20) as answer:
            assert answer.status == 200
        assert [_closed(connection) for connection in waiting] == [True] * 60
    finally:
        stop.set()
        serving.join(20)


def _closed(connection: socket.socket) -> bool:
    """Whether the other side ends it, whatever it says before."""
    with contextlib.suppress(ConnectionResetError), connection:
        while connection.recv(4096):
            pass
    return True
