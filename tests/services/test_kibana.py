"""What each panel of the Kibana dashboard asks, put to a real Elasticsearch: the numbers are those of brute force."""

import json
import secrets
import urllib.request
from collections import defaultdict

import pytest
from bulk_bodies import bulk_body
from crowd import START, Seen, crowd, expect, table_of
from kibana import formatted, objects, request, rows
from kibana_server import answering

from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.index import setup_elasticsearch
from clickstream.pipeline.__main__ import main

EXACT, ESTIMATED = crowd(7, windows=30), crowd(8, windows=30, sketch_size=16)
UNTIMED = [
    Seen(400, "https://shop.example/none", "Chile", [("x", None)]),
    Seen(401, "https://shop.example/", "", [(f"w{n}", 1000) for n in range(7)]),  # no country
]
METRICS = ("clicks", "users", "time-spent", "time-known", "bounce-rate", "estimated-rows")


class Index:
    """The index of the windows, with roll-ups beside it, which the panels mustn't count too."""

    def __init__(self, address: str, seen: list[Seen]) -> None:
        self.address, self.name = address, f"kibana_{secrets.token_hex(6)}"
        client = ElasticsearchConnection(address).connect()
        for suffix in ("", "_1h", "_1d"):
            setup_elasticsearch(client, f"{self.name}{suffix}")
            send_bulk(client, bulk_body(table_of(seen), f"{self.name}{suffix}"))
        client.close()
        self.panels = {n.removeprefix("clickstream-"): each for n, each in objects(self.name).items()}
        self.ask("POST", f"{self.name}*/_refresh")

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        headers, sent = {"content-type": "application/json"}, json.dumps(body).encode() if body else None
        whole = urllib.request.Request(f"{self.address}/{path}", sent, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(whole, timeout=60) as answer:  # noqa: S310 (an address of our own)
            return json.load(answer)

    def panel(self, name: str) -> list[list]:
        """What a panel shows."""
        view = self.panels["data-view"]["attributes"]["title"]
        return rows(self.panels[name], self.ask("POST", f"{view}/_search", request(self.panels[name])))


@pytest.fixture(scope="module", params=["exact", "estimated"])
def filled(elasticsearch, request):
    seen = [*(EXACT if request.param == "exact" else ESTIMATED), *UNTIMED]
    return Index(elasticsearch.address, seen), seen


def users(wanted):
    """Elasticsearch counts all of a few hundred; where sketches are cut, only those that are kept."""
    return pytest.approx(wanted.users, abs=2) if wanted.exact else None


def cells(seen):
    """Clicks, users, mean, sessions and bounce rate of rows."""
    wanted = expect(seen)
    mean = wanted.mean and pytest.approx(wanted.mean)
    return [wanted.clicks, users(wanted), mean, wanted.sessions, pytest.approx(wanted.bounces / wanted.sessions)]


def agree(found, expected):
    """Equal; what is None of the expected users isn't told rightly, and is lower then."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert [cell for cell, told in zip(one, other, strict=True) if told is not None] == [
            told for told in other if told is not None
        ]


def test_the_figures_of_all(filled):
    index, seen = filled
    wanted, inexact = expect(seen), sum(row.theta < 2**63 - 1 for row in seen)
    assert (inexact == 0) == wanted.exact
    found = [cell for name in METRICS for (cell,) in index.panel(name)]
    mean, known, rate = wanted.mean, len(wanted.times) / wanted.clicks, wanted.bounces / wanted.sessions
    approximately = [pytest.approx(value) for value in (mean, known, rate)]
    agree([found], [[wanted.clicks, users(wanted), *approximately, inexact]])
    if not wanted.exact:
        assert found[1] < wanted.true_users


def test_over_time(filled):
    index, seen = filled
    hours = defaultdict(list)
    for row in seen:
        hours[row.start.replace(minute=0)].append(row)
    times = {hour: round(hour.timestamp() * 1000) for hour in sorted(hours)}
    assert len(times) > 2
    assert min(times) == START
    clicks = [[at, expect(hours[hour]).clicks] for hour, at in times.items()]
    agree(index.panel("clicks-over-time"), clicks)
    agree(index.panel("users-over-time"), [[at, users(expect(hours[hour]))] for hour, at in times.items()])


@pytest.mark.parametrize(("panel", "column"), [("pages", "url"), ("countries", "country")])
def test_top_pages_and_countries(filled, panel, column):
    index, seen = filled
    groups = defaultdict(list)
    for row in seen:
        groups[getattr(row, column)].append(row)
    ordered = sorted(groups, key=lambda name: -expect(groups[name]).clicks)
    found = index.panel(panel)
    found = [[formatted(index.panels["data-view"], column, name), *others] for name, *others in found]
    agree(found, [[name or "unknown", *cells(groups[name])] for name in ordered])
    if column == "url":
        assert next(row[3] for row in found if row[0] == "https://shop.example/none") is None


def test_setup_sinks_imports_the_dashboard(elasticsearch, capsys):
    name = f"kibana_{secrets.token_hex(6)}"
    where = [f"--elasticsearch={elasticsearch.address}", f"--elasticsearch_index={name}"]
    with answering(200, {"success": True, "successCount": 12}) as (url, asked):
        assert main(["setup-sinks", *where, f"--kibana={url}"]) == 0
        dashboard = f"the dashboard: {url}/app/dashboards#/view/clickstream-dashboard\n"
        assert capsys.readouterr().out == (
            f"Ready: Elasticsearch at {elasticsearch.address}, index {name}\n"
            f"Ready: 12 saved objects in Kibana at {url}, {dashboard}"
        )
        assert f'"{name}*,-*_1h,-*_1d"'.encode() in asked[0][2].get_payload(decode=True)
    with answering(403, {"statusCode": 403, "message": "Unable to bulk_create lens"}) as (url, _):
        assert main(["setup-sinks", *where, f"--kibana={url}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Kibana answered 403 (Unable to bulk_create lens): the account needs the right")
    assert said.count("\n") == 1
    assert main(["setup-sinks", "--kibana=http://127.0.0.1:5601"]) == 2
    assert capsys.readouterr().err == "--kibana shows what is in Elasticsearch: give --elasticsearch=URL too.\n"
