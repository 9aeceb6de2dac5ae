"""The index itself: missing, closed, blocked, deleted under way, or with another mapping."""

from contextlib import contextmanager

import pytest
from rows import metric
from services.bulk_proxy import INDEX, actions_of, ask, documents, sender, stored

from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch, setup_elasticsearch
from clickstream.io.elasticsearch.mapping import MAPPING


@contextmanager
def setting(address, name, value):
    ask(address, "PUT", "/_cluster/settings", {"persistent": {name: value}})
    try:
        yield
    finally:
        ask(address, "PUT", "/_cluster/settings", {"persistent": {name: None}})


def test_an_index_that_is_not_there_or_closed_or_blocked_fails_at_once_with_the_cure(server):
    ask(server.hosts, "PUT", f"/{INDEX}/_settings", {"index.blocks.write": True})
    with pytest.raises(ElasticsearchError, match=r"cluster_block_exception\): .* free space"):
        sender(server).send(actions_of([metric()]))
    ask(server.hosts, "PUT", f"/{INDEX}/_settings", {"index.blocks.write": False})
    ask(server.hosts, "POST", f"/{INDEX}/_close")
    with pytest.raises(ElasticsearchError, match=r"index_closed_exception\): open the index"):
        sender(server).send(actions_of([metric()]))
    ask(server.hosts, "DELETE", f"/{INDEX}")
    missing = pytest.raises(ElasticsearchError, match=r"index_not_found_exception\): .*setup-sinks")
    with setting(server.hosts, "action.auto_create_index", "false"), missing:
        sender(server).send(actions_of([metric()]))
    with pytest.raises(ElasticsearchError, match=r"index_not_found_exception.*setup-sinks"):
        check_elasticsearch(server.connect(), INDEX)


def test_an_index_deleted_under_way_comes_back_with_the_same_strict_mapping(server):
    ask(server.hosts, "DELETE", f"/{INDEX}")
    assert sender(server).send(actions_of([metric()])) == {}
    check_elasticsearch(server.connect(), INDEX)
    assert ask(server.hosts, "GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]["dynamic"] == "strict"


@pytest.mark.parametrize(
    ("field", "found", "complaint"),
    [
        ("url", {"type": "text"}, "field url: found text, needed keyword"),
        ("window_start", {"type": "long"}, "field window_start: found long, needed date"),
        ("window_end", {"type": "date", "format": "epoch_millis"}, "field window_end: found date format epoch_millis"),
        ("clicks", None, "field clicks: found none, needed long"),
        ("users_sketch", None, "field users_sketch: found none, needed long"),
        ("time_spent_histogram", {"type": "flattened"}, "field time_spent_histogram: found flattened, needed object"),
        ("time_spent_histogram", {"type": "object"}, "field time_spent_histogram: found enabled true, needed false"),
        (
            "users_sketch",
            {"type": "long", "doc_values": False},
            "field users_sketch: found doc_values false, needed true",
        ),
        ("url", {"type": "keyword", "ignore_above": 256}, "field url: found ignore_above 256, needed 8192"),
    ],
)
def test_another_mapping_is_one_line_that_names_field_found_needed_and_cure(server, field, found, complaint):
    properties = {name: value for name, value in (MAPPING | {field: found}).items() if value}
    ask(server.hosts, "DELETE", f"/{INDEX}")
    ask(server.hosts, "DELETE", f"/_index_template/{INDEX}")
    ask(server.hosts, "PUT", f"/{INDEX}", {"mappings": {"properties": properties}})
    for check in (check_elasticsearch, setup_elasticsearch):
        with pytest.raises(ElasticsearchError, match=f"index {INDEX}, {complaint}.*: reindex it") as caught:
            check(server.connect(), INDEX)
        assert "\n" not in str(caught.value)


def test_setup_twice_changes_nothing_and_keeps_the_documents(server):
    assert sender(server).send(actions_of([metric()])) == {}
    before = ask(server.hosts, "GET", f"/{INDEX}/_mapping")
    setup_elasticsearch(server.connect(), INDEX)
    assert ask(server.hosts, "GET", f"/{INDEX}/_mapping") == before
    assert stored(server.hosts) == documents(metric())
