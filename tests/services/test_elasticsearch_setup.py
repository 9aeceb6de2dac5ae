"""Template, index and alias on a real server: what is the user's stays, what would be wrong is refused before anything is made."""

import json
import secrets
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from rows import metric, table_of
from serving import serving

from clickstream.io.elasticsearch.actions import action_batches, action_bytes
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch, setup_elasticsearch
from clickstream.io.elasticsearch.mapping import MAPPING
from clickstream.io.results import ElasticsearchStore, RowFilter, read_elasticsearch_rows, refresh


class Cluster:
    """The real server, asked by plain HTTP, and a name that only this test uses."""

    def __init__(self, address):
        self.name, self.connection = f"t{secrets.token_hex(5)}", ElasticsearchConnection(address, request_timeout=20)
        self.client = self.connection.connect()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(  # noqa: S310 - the tests' own server
            self.connection.hosts + path, data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def there(self, path):
        try:
            self.ask("HEAD", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True

    def template(self, name=None):
        (found,) = self.ask("GET", f"/_index_template/{name or self.name}")["index_templates"]
        return found["index_template"]

    def write(self, index, *rows):
        for actions in action_batches(table_of(rows), index):
            assert not json.loads(send_bulk(self.client, action_bytes(actions))).get("errors")
        refresh(self.connection, index)

    def clean(self):
        for path in ("/_index_template", "/_alias"):
            found = self.ask("GET", path)
            names = [each["name"] for each in found["index_templates"]] if "index_templates" in found else list(found)
            for name in names:
                if name.startswith(self.name):
                    self.ask("DELETE", f"/_index_template/{name}" if "index_templates" in found else f"/{name}")


@pytest.fixture
def cluster(elasticsearch):
    found = Cluster(elasticsearch.address)
    yield found
    found.clean()


def fitting(**more):
    return {"mappings": {"dynamic": "strict", "properties": MAPPING}, **more}


def test_a_users_template_stays_as_it_is_at_each_start(cluster):
    template = {
        "index_patterns": [cluster.name],
        "priority": 500,
        "template": fitting(settings={"number_of_replicas": 0, "number_of_shards": 2}),
        "_meta": {"owner": "team search"},
    }
    cluster.ask("PUT", f"/_index_template/{cluster.name}", template)
    before = cluster.template()
    for _ in range(3):
        setup_elasticsearch(cluster.client, cluster.name)
        check_elasticsearch(cluster.client, cluster.name)
        assert cluster.template() == before
    settings = cluster.ask("GET", f"/{cluster.name}/_settings")[cluster.name]["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("2", "0")


def test_a_template_that_lacks_fields_gets_them_and_nothing_else_changes(cluster):
    properties = {name: field for name, field in MAPPING.items() if name != "bounces"}
    properties |= {"url": {"type": "keyword", "ignore_above": 100}, "theirs": {"type": "keyword"}}
    template = {
        "index_patterns": [f"{cluster.name}*"],
        "priority": 77,
        "version": 3,
        "template": {
            "mappings": {"dynamic": "false", "properties": properties},
            "settings": {"index": {"number_of_shards": "3", "number_of_replicas": "0"}},
            "aliases": {f"{cluster.name}-all": {}},
        },
        "_meta": {"owner": "team search"},
    }
    cluster.ask("PUT", f"/_index_template/{cluster.name}", template)
    setup_elasticsearch(cluster.client, cluster.name)
    found = cluster.template()
    assert found["template"]["mappings"]["properties"] == MAPPING | {"theirs": {"type": "keyword"}}
    assert found["template"]["mappings"]["dynamic"] == "false"
    assert found["template"]["settings"] == template["template"]["settings"]
    assert found["template"]["aliases"] == template["template"]["aliases"]
    assert {name: found[name] for name in ("index_patterns", "priority", "version", "_meta")} == {
        name: template[name] for name in ("index_patterns", "priority", "version", "_meta")
    }


def test_shards_and_replicas_are_options_of_the_set_up_and_stay(cluster):
    setup_elasticsearch(cluster.client, cluster.name, {"number_of_shards": 3, "number_of_replicas": 0})
    setup_elasticsearch(cluster.client, cluster.name)
    settings = cluster.ask("GET", f"/{cluster.name}/_settings")[cluster.name]["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("3", "0")
    setup_elasticsearch(cluster.client, cluster.name, {"number_of_replicas": 1})
    assert cluster.template()["template"]["settings"]["index"] == {"number_of_shards": "3", "number_of_replicas": "1"}
    settings = cluster.ask("GET", f"/{cluster.name}/_settings")[cluster.name]["settings"]["index"]
    assert settings["number_of_replicas"] == "1"


@pytest.mark.parametrize("priority", [900, 500])
def test_a_foreign_template_that_wins_is_named_and_no_index_made(cluster, priority):
    other = f"{cluster.name}-all"
    mapping = {"mappings": {"properties": {"url": {"type": "text"}}}}
    template = {"index_patterns": [f"{cluster.name}*"], "priority": priority, "template": mapping}
    cluster.ask("PUT", f"/_index_template/{other}", template)
    said = rf"template {other} \({cluster.name}\*, priority {priority}\) has precedence .*: lower its priority"
    for _ in range(2):
        with pytest.raises(ElasticsearchError, match=said) as raised:
            setup_elasticsearch(cluster.client, cluster.name)
        assert "\n" not in str(raised.value)
        assert not cluster.there(f"/{cluster.name}")
        assert not cluster.there(f"/_index_template/{cluster.name}")
    cluster.ask("DELETE", f"/_index_template/{other}")
    setup_elasticsearch(cluster.client, cluster.name)


def test_a_foreign_template_that_wins_and_fits_is_taken(cluster):
    template = {"index_patterns": [f"{cluster.name}*"], "priority": 900, "template": fitting()}
    cluster.ask("PUT", f"/_index_template/{cluster.name}-all", template)
    setup_elasticsearch(cluster.client, cluster.name)
    assert not cluster.there(f"/_index_template/{cluster.name}")
    assert cluster.there(f"/{cluster.name}")


def test_an_alias_with_rollover_is_refused_with_the_cure(cluster):
    first, alias = f"{cluster.name}-000001", f"{cluster.name}-pc"
    cluster.ask("PUT", f"/{first}", fitting(aliases={alias: {"is_write_index": True}}))
    for step in (setup_elasticsearch, check_elasticsearch):
        with pytest.raises(ElasticsearchError, match=rf"write index {first}.*--elasticsearch_index={alias}-{{month}}"):
            step(cluster.client, alias)
    cluster.ask("POST", f"/{alias}/_rollover")
    with pytest.raises(ElasticsearchError, match="count twice"):
        check_elasticsearch(cluster.client, alias)
    cluster.ask("PUT", f"/{cluster.name}-b", fitting(aliases={f"{alias}2": {}}))
    check_elasticsearch(cluster.client, f"{alias}2")  # one index of another name: a row has one home
    cluster.ask("PUT", f"/{cluster.name}-c", fitting(aliases={f"{alias}2": {}}))
    with pytest.raises(ElasticsearchError, match="stands for 2 indices"):
        check_elasticsearch(cluster.client, f"{alias}2")


def test_indices_by_time_give_each_row_one_home_and_old_ones_can_be_dropped(cluster):
    index = f"{cluster.name}-{{month}}"
    for _ in range(2):
        setup_elasticsearch(cluster.client, index, {"number_of_replicas": 0})
        setup_elasticsearch(cluster.client, f"{index}_1d", {"number_of_replicas": 0})
        check_elasticsearch(cluster.client, index)
    store = ElasticsearchStore(cluster.connection, index)
    assert store.extent() is None
    assert [page.num_rows for page in read_elasticsearch_rows(cluster.connection, index, RowFilter(), ["clicks"])] == [
        0
    ]
    starts = [datetime(2026, 10, 31, 23, 55, tzinfo=timezone.utc) + timedelta(minutes=5 * n) for n in range(3)]
    rows = [
        metric(window_start=start, window_end=start + timedelta(minutes=5), version=n + 1)
        for n, start in enumerate(starts)
    ]
    for _ in range(2):
        cluster.write(index, *rows)
    cluster.write(index, rows[0] | {"clicks": 10, "version": 10})
    cluster.write(f"{index}_1d", *rows)
    counts = {name: cluster.ask("GET", f"/{name}/_count")["count"] for name in cluster.ask("GET", f"/{cluster.name}*")}
    assert counts == {
        f"{cluster.name}-2026-{part}": n for part, n in (("10", 1), ("11", 2), ("10_1d", 1), ("11_1d", 2))
    }
    for found in cluster.ask("GET", f"/{cluster.name}*/_mapping").values():
        assert found["mappings"]["dynamic"] == "strict"
    assert store.by_time(RowFilter())["clicks"].to_pylist() == [10, 2, 3]
    pages = list(read_elasticsearch_rows(cluster.connection, index, RowFilter(), ["clicks"]))
    assert sorted(row["clicks"] for page in pages for row in page.to_pylist()) == [2, 3, 10]
    cluster.ask("DELETE", f"/{cluster.name}-2026-10")
    assert store.by_time(RowFilter())["clicks"].to_pylist() == [2, 3]


def test_a_template_that_wins_over_indices_by_time_is_named(cluster):
    template = {"index_patterns": [f"{cluster.name}*"], "priority": 900, "template": {}}
    cluster.ask("PUT", f"/_index_template/{cluster.name}-all", template)
    with pytest.raises(ElasticsearchError, match=f"template {cluster.name}-all .* has precedence"):
        setup_elasticsearch(cluster.client, f"{cluster.name}-{{day}}")


class Guard(ThreadingHTTPServer):
    """In front of the real server, it lets an account that may only write and look at its index do no more than that."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__(("127.0.0.1", 0), _GuardHandler)
        self.real, self.refused = urlsplit(address).netloc, []
        self.client = ElasticsearchConnection(f"http://127.0.0.1:{self.server_address[1]}").connect()


class _GuardHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, found = 403, b'{"error":{"type":"security_exception","reason":"unauthorized"},"status":403}'
        if self.path.startswith("/_index_template") or self.command == "PUT":
            self.server.refused.append((self.command, self.path))
        else:
            upstream = HTTPConnection(self.server.real, timeout=60)
            kept = {name: self.headers[name] for name in ("accept", "content-type") if name in self.headers}
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            status, found = answer.status, answer.read()
        self.send_response(status)
        self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=8")
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-length", str(len(found)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found)

    do_GET = do_PUT = do_POST = do_HEAD = handle_any  # noqa: N815 - names that the library asks for

    def log_message(self, *_):
        pass


@pytest.fixture
def guard(cluster):
    found = Guard(cluster.connection.hosts)
    with serving(found):
        yield found


def test_an_account_that_may_only_write_needs_no_more_when_all_is_there(cluster, guard):
    setup_elasticsearch(cluster.client, cluster.name)
    setup_elasticsearch(guard.client, cluster.name)
    check_elasticsearch(guard.client, cluster.name)
    assert [method for method, _ in guard.refused if method == "PUT"] == []


def test_an_index_that_is_missing_names_the_right_and_setup_sinks(cluster, guard):
    with pytest.raises(ElasticsearchError, match=r"grant it manage_index_templates on the cluster, or run setup-sinks"):
        setup_elasticsearch(guard.client, cluster.name)
    assert not cluster.there(f"/{cluster.name}")
