"""The live page in a real browser: every tab with each store's data, its numbers against the oracle's, keyboard, hostile values, outages."""

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pyarrow as pa
import pytest
from browsing import check_look, focused, live, open_page, press, tab_to, table, tiles, wait_for
from e2e.live_harness import FULL
from month import DAYS, START_MS, month_of_rows
from page_oracle import Choice, Oracle, visits_of
from selenium.webdriver.common.keys import Keys

from clickstream.io import sql
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_rows import read_sql_rows
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.sql import SqlConnection
from clickstream.page.markup import visible
from clickstream.pipeline.__main__ import main
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA
from tests.services.chromium import look
from tests.services.page_stores import HACK, STORES, Pages, in_elasticsearch, in_sql, started, status_server, write_rows

ZONE = "Asia/Kolkata"
START = datetime(2025, 11, 20, tzinfo=timezone.utc)
FROM, TO = START + timedelta(hours=1), START + timedelta(hours=5)
PARAMETERS = {"range": "free", "from": "2025-11-20T06:30", "to": "2025-11-20T10:30"}
VIEW = f"/?{urlencode(PARAMETERS)}"
LOOKS = [(1440, False), (1440, True), (390, False), (390, True)]
SCRIPT = "https://evil.example/?q=<script>window.hacked=1</script>'\""
TURNED = "https://evil.example/\u202e<svg/onload=window.hacked=1>"
# As the WHATWG standard writes them, and so the stores hold them.
SCRIPT_STORED = "https://evil.example/?q=%3Cscript%3Ewindow.hacked=1%3C/script%3E%27%22"
TURNED_STORED = "https://evil.example/%E2%80%AE%3Csvg/onload=window.hacked=1%3E"
HOSTILE = [
    {"url": SCRIPT, "country": HACK},
    {"url": TURNED, "country": "\u202eaidnI\u2066"},
    {"url": "https://evil.example/=1", "country": "=cmd|'/C calc'!A0"},
    {"url": "javascript:window.hacked=1", "country": "=1+1"},
]


@pytest.fixture(scope="module")
def records():
    options = SampleOptions(
        seed=8, events=6000, users=600, pages=15, countries=6, start=START, duration_seconds=6 * 3600, broken_share=0.02
    )
    made = [record for batch in sample_records(options) for record in batch]
    return made + [
        json.dumps({"user_id": "mallory", "timestamp": f"2025-11-20T02:0{i}:00Z"} | each).encode()
        for i, each in enumerate(HOSTILE)
    ]


@pytest.fixture(scope="module")
def visits(records):
    return visits_of(records)[0]


@pytest.fixture(scope="module")
def folder(records, tmp_path_factory):
    """What the batch job makes of them."""
    made = tmp_path_factory.mktemp("page")
    (made / "clicks.ndjson").write_bytes(b"\n".join(records) + b"\n")
    assert main([f"--input={made}/clicks.ndjson", f"--output_dir={made}/out"]) == 0
    return made / "out"


@pytest.fixture(scope="module")
def embedded(folder):
    return SqlConnection("sqlite", str(folder / "clickstream.db"))


@pytest.fixture(scope="module")
def rows(embedded):
    return pa.concat_tables(read_sql_rows(embedded, RowFilter(), PAGE_METRICS_SCHEMA.names))


@pytest.fixture(scope="module")
def pages(services, folder, rows):
    with status_server() as health, Pages(services, folder, rows, f"--health={health}", f"--time_zone={ZONE}") as found:
        yield found


@pytest.fixture
def browser(chrome):
    chrome.get("about:blank")  # the page of the test before looks for a server that has gone
    look(chrome)
    chrome.get_log("browser")
    yield chrome
    assert [line["message"] for line in chrome.get_log("browser")] == []
    assert chrome.execute_script("return window.hacked") is None


@pytest.mark.parametrize("store", STORES)
def test_each_tab_shows_the_oracles_numbers_in_every_look(browser, pages, records, visits, store) -> None:
    oracle, rejected = Oracle(visits, Choice(FROM, TO)), visits_of(records)[1]
    urls, countries = oracle.groups("url"), oracle.groups("country")
    expected = {url: Oracle(visits, Choice(FROM, TO, url)).cells() for url in urls[:20]} | {
        name: Oracle(visits, Choice(FROM, TO, country=name)).cells() for name in countries
    }
    for width, dark in LOOKS:
        look(browser, width=width, dark=dark)
        open_page(browser, pages[store] + VIEW)
        check_look(browser, width, dark=dark)
        found = tiles(browser)
        assert {name: found[name] for name in oracle.tiles()} == oracle.tiles()
        for section, names in (("pages", urls[:20]), ("countries", countries)):
            shown = table(browser, section)
            assert len(shown) == len(names)
            for (label, clicks, users, mean, _, _, known), name in zip(shown, names, strict=True):
                assert (clicks, users, mean, known) == expected[name], name
                assert label in (name, visible(name)) or "…" in label
        browser.get(f"{pages[store]}/rejected")
        check_look(browser, width, dark=dark)
        assert tiles(browser) == {"Rejected records": str(rejected), "Late clicks": "5"}
        assert sum(int(row[1]) for row in table(browser, "rejections")) == rejected
        browser.get(f"{pages[store]}/health")
        check_look(browser, width, dark=dark)
        found = tiles(browser)
        assert (found["Events a second"], found["Lag, records"], found["Windows written"]) == ("1,250", "42", "72")
        assert found["Watermark age"].startswith("1 min 3")
        assert "MySQL: connection lost <img src=x" in live(browser)


@pytest.mark.parametrize("store", STORES)
def test_filters_and_downloads_give_the_oracles_numbers(browser, pages, visits, store) -> None:
    url, country = (Oracle(visits, Choice(FROM, TO)).groups(name)[0] for name in ("url", "country"))
    for chosen in ({"country": country}, {"page": url}, {"page": url, "country": country}):
        oracle = Oracle(visits, Choice(FROM, TO, chosen.get("page"), chosen.get("country")))
        open_page(browser, f"{pages[store]}/?{urlencode(PARAMETERS | chosen)}")
        found = tiles(browser)
        assert {name: found[name] for name in oracle.tiles()} == oracle.tiles()
        text = httpx.get(f"{pages[store]}/pages.csv?{urlencode(PARAMETERS | chosen)}", trust_env=False, timeout=60).text
        for row in csv.DictReader(io.StringIO(text)):
            own = Oracle(visits, Choice(FROM, TO, row["url"].removeprefix("'"), chosen.get("country")))
            assert int(row["clicks"]) == len(own.visits)
            if len(set(own.times)) > 1:
                for share, name in ((0.5, "median_time_spent"), (0.9, "p90_time_spent")):
                    assert float(row[name]) == pytest.approx(own.quantile(share), rel=0.021)


def test_the_period_before_stands_beside_it(browser, pages, visits) -> None:
    open_page(browser, f"{pages['sqlite']}{VIEW}&compare=on")
    now, before = (len(Oracle(visits, Choice(FROM - back, TO - back)).visits) for back in (timedelta(), TO - FROM))
    shown = browser.execute_script("return document.querySelector('#live dl .change').innerText")
    assert shown == f"{now / before - 1:+.0%}"
    assert browser.execute_script("return document.querySelectorAll('.chart .before').length") == 2


@pytest.mark.parametrize("store", STORES)
def test_hostile_values_are_text(browser, pages, store) -> None:
    """The fixture looks whether any of it ran."""
    open_page(browser, pages[store] + VIEW)
    names = [row[0] for row in table(browser, "countries")]
    assert {HACK, "\\u202eaidnI\\u2066", "=cmd|'/C calc'!A0"} <= set(names)
    assert {SCRIPT_STORED, TURNED_STORED} <= {row[0] for row in table(browser, "pages")}
    links = browser.execute_script("return [...document.querySelectorAll('a')].map(a => a.href)")
    assert all(link.startswith(pages[store]) for link in links)
    assert browser.execute_script("return document.scripts.length") == 1
    for section, name, shown in (("countries", "country", HACK), ("pages", "page", SCRIPT_STORED)):
        open_page(browser, pages[store] + VIEW)
        link = f"[...document.querySelectorAll('#{section} a')].find(a => a.innerText === arguments[0])"
        browser.execute_script(f"{link}.click()", shown)
        wait_for(lambda name=name: f"{name}=" in browser.current_url and tiles(browser).get("Clicks") == "1")
        assert parse_qs(urlsplit(browser.current_url).query)[name] == [shown]
        assert browser.execute_script(f"return document.querySelector('[name={name}]').value") == shown
    browser.get(f"{pages[store]}/rejected")
    assert browser.execute_script("return document.scripts.length") == 1
    assert table(browser, "rejections")


def test_the_keyboard_alone_suffices(browser, pages, visits) -> None:
    open_page(browser, pages["sqlite"] + VIEW)
    press(browser, Keys.TAB)
    assert focused(browser)[1] == "Skip to the numbers"
    tab_to(browser, "Health")
    press(browser, Keys.ENTER)
    wait_for(lambda: "/health" in browser.current_url and "Lag by partition" in live(browser))
    tab_to(browser, "Clicks")
    press(browser, Keys.ENTER)
    wait_for(lambda: "/health" not in browser.current_url and "Countries" in live(browser))
    assert parse_qs(urlsplit(browser.current_url).query) == {name: [value] for name, value in PARAMETERS.items()}
    country = Oracle(visits, Choice(FROM, TO)).groups("country")[0]
    tab_to(browser, "country")
    press(browser, country)
    tab_to(browser, "compare")
    press(browser, Keys.SPACE)
    press(browser, Keys.ENTER)
    wait_for(lambda: "compare=on" in browser.current_url)
    assert parse_qs(urlsplit(browser.current_url).query)["country"] == [country]
    wait_for(
        lambda: tiles(browser).get("Clicks") == Oracle(visits, Choice(FROM, TO, country=country)).tiles()["Clicks"]
    )
    tab_to(browser, "Show the numbers", 120)
    press(browser, Keys.ENTER)
    wait_for(lambda: len(table(browser, "numbers")) == 48)
    tab_to(browser, "Pause", 200)
    press(browser, Keys.SPACE)
    wait_for(lambda: focused(browser)[1] == "Go on")


def test_it_refreshes_itself_and_keeps_what_is_open(browser, embedded, folder, tmp_path) -> None:
    copy = tmp_path / "out"
    copy.mkdir()
    (copy / "clickstream.db").write_bytes((folder / "clickstream.db").read_bytes())
    with started(f"--output_dir={copy}", f"--time_zone={ZONE}") as address:
        open_page(browser, address() + VIEW)
        before = int(tiles(browser)["Clicks"].replace(",", ""))
        browser.execute_script(
            "document.getElementById('numbers').open = true; document.querySelector('.scroll').focus()"
        )
        row = (
            pa.concat_tables(read_sql_rows(embedded, RowFilter(start=FROM, end=TO), PAGE_METRICS_SCHEMA.names))
            .slice(0, 1)
            .to_pylist()[0]
        )
        changed = row | {"clicks": row["clicks"] + 1000, "version": row["version"] + 2**40}
        copied = SqlConnection("sqlite", str(copy / "clickstream.db"))
        write_rows(copied, [pa.Table.from_pylist([changed], PAGE_METRICS_SCHEMA)])
        wait_for(lambda: tiles(browser)["Clicks"] == f"{before + 1000:,}")
        assert browser.execute_script("return document.getElementById('numbers').open")
        assert browser.execute_script("return document.activeElement.className") == "scroll"
        browser.get("about:blank")  # or it would look for a server that has gone


def month_in(store, services, folder, patch):
    """A month of 5-minute windows in a store: the options that name it."""
    months = month_of_rows(600_000 if FULL else 150_000)
    if store == "elasticsearch":
        return in_elasticsearch(services.get(store), months)
    if store == "mariadb":
        return in_sql(services.get(store), months, patch)
    connection = SqlConnection("sqlite", str(folder / "clickstream.db"))
    sql.setup_sql(connection)
    write_rows(connection, months)
    return [f"--output_dir={folder}"]


@pytest.mark.alone
@pytest.mark.parametrize("store", STORES if FULL else ["sqlite"])
def test_the_first_view_of_a_month_takes_less_than_two_seconds(browser, store, services, tmp_path, monkeypatch) -> None:
    """Each of another range, so that nothing is known of it. A shared machine may be slow for a while, but not always."""
    start = datetime.fromtimestamp(START_MS / 1000, timezone.utc)
    took = []
    with started(*month_in(store, services, tmp_path, monkeypatch)) as address:
        page = address()
        for day in range(8):
            times = {
                "from": f"{start + timedelta(days=day):%Y-%m-%dT00:00}",
                "to": f"{start + timedelta(days=DAYS):%Y-%m-%dT00:00}",
            }
            browser.get(f"{page}/?{urlencode({'range': 'free'} | times)}")
            took.append(browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
            assert len(table(browser, "pages")) == 20
            wait_for(lambda: "…" not in live(browser))
            if took[-1] < 2000 and day > 1:
                break
        browser.get("about:blank")  # or it would look for a server that has gone
    print(f"first views of a month in {store}: {', '.join(f'{ms:.0f} ms' for ms in took)}")
    assert 0 < min(took) < 2000


def test_a_store_that_is_away_is_said_and_comes_back_by_itself(browser, pages, elasticsearch) -> None:
    open_page(browser, pages["elasticsearch"] + VIEW)
    before = tiles(browser)
    elasticsearch.stop()
    try:
        wait_for(lambda: "Elasticsearch can't be reached" in live(browser))
        assert "Shown is what was known at" in live(browser)
        assert tiles(browser) == before
        look(browser, width=390)
        check_look(browser, 390, dark=False)
    finally:
        elasticsearch.start()
    wait_for(lambda: "can't be reached" not in live(browser) and tiles(browser) == before, 120)
