"""OpenSearch in Elasticsearch's place: set up, written to in pieces, asked, restated; and what the user's template says stays."""

import json
import secrets
from pathlib import Path

import pytest
from e2e.test_pieces import LOG, POLICIES, counted, expected, text
from e2e.test_pieces_servers import Servers

from clickstream.io.elasticsearch import ElasticsearchConnection, ask, speaks_opensearch
from clickstream.io.results import ElasticsearchStore, RowFilter
from clickstream.pipeline.__main__ import main

OPTIONS, RULES = POLICIES["dwell"]


class Alone(Servers):
    """OpenSearch and no database."""

    def __post_init__(self) -> None:
        self.index = f"t{secrets.token_hex(5)}"

    def here(self) -> list[str]:
        where = [f"--elasticsearch={self.elasticsearch.address}", f"--elasticsearch_index={self.index}"]
        return [*where, f"--output_dir={self.folder / 'out'}"]

    def batch(self, name: str, *options: str) -> int:
        return main([f"--input={self.folder / name}", *self.here(), *options])


@pytest.fixture
def alone(opensearch, tmp_path: Path) -> Alone:
    return Alone(None, None, opensearch, "", tmp_path)


def test_logs_in_pieces_are_the_rows_of_one_run_and_can_be_asked_and_restated(alone, capsys) -> None:
    for name, records in (("1", LOG[:250]), ("2", LOG[250:])):
        (alone.folder / name).write_bytes(text(records))
        assert alone.batch(name, *OPTIONS) == 0
    right = expected(LOG, "", **RULES)
    assert counted(alone.documents()) == right
    assert counted(alone.documents("_1d")) == expected(LOG, "_1d", **RULES)
    capsys.readouterr()
    assert main(["query", *alone.here(), "--format=json"]) == 0
    clicks = sum(row.clicks for row in right.values())
    assert json.loads(capsys.readouterr().out)["clicks"] == clicks
    store = ElasticsearchStore(ElasticsearchConnection(alone.elasticsearch.address), alone.index)
    assert sum(group.clicks for group in store.top("country", RowFilter(), 100)[1]) == clicks
    kept = [*alone.here(), "--raw_store=files", "--from=2026-11-01", "--to=2026-11-02T02:00:00Z"]
    assert main(["verify", *kept, *OPTIONS]) == 0
    assert alone.batch("1", *OPTIONS, "--window_seconds=60") == 2
    assert "holds rows of --window_seconds=300, not 60" in capsys.readouterr().err


def test_the_users_template_stays_and_no_newer_document_gives_way(alone, capsys) -> None:
    connection = ElasticsearchConnection(alone.elasticsearch.address)
    client = connection.connect()
    assert main(["setup-sinks", *alone.here(), "--elasticsearch_shards=2", "--elasticsearch_replicas=0"]) == 0
    assert speaks_opensearch(client) is False  # it hasn't been spoken to
    (found,) = ask(client, "GET", f"/_index_template/{alone.index}")["index_templates"]
    assert speaks_opensearch(client)
    template = found["index_template"]
    template["template"]["settings"]["index"] |= {"refresh_interval": "7s"}
    ask(client, "PUT", f"/_index_template/{alone.index}", template | {"_meta": {"owner": "ops"}})
    assert main(["setup-sinks", *alone.here()]) == 0
    (after,) = ask(client, "GET", f"/_index_template/{alone.index}")["index_templates"]
    settings = after["index_template"]["template"]["settings"]["index"]
    assert (settings["refresh_interval"], settings["number_of_shards"]) == ("7s", "2")
    assert after["index_template"]["_meta"] == {"owner": "ops"}
    client.close()
