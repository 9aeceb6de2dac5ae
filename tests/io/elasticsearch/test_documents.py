"""Any dicts as bulk actions: what tells them apart, what guards them, and which can't be documents."""

import json
from datetime import datetime, timezone

import pytest

from clickstream.io.elasticsearch import ElasticsearchConnection, ElasticsearchError, WriteDocumentsToElasticsearch
from clickstream.io.elasticsearch.document_actions import document_actions


def made(*documents: object, key: tuple = (), version: str | None = None) -> list[tuple[dict, dict]]:
    actions, refused = document_actions(documents, "index", key, version)
    assert not refused
    lines = [action.split("\n") for action in actions.to_pylist()]
    assert all(len(parts) == 3 for parts in lines)
    return [(json.loads(action)["index"], json.loads(document)) for action, document, _ in lines]


def test_a_document_is_told_by_its_key_whatever_else_it_holds() -> None:
    same, other = {"site": "a", "day": 1}, {"site": "a", "day": 2}
    ids = [action["_id"] for action, _ in made(same | {"n": 1}, same | {"n": 2}, other, key=("site", "day"))]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 24


def test_without_a_key_equal_documents_are_one_in_any_order_of_fields() -> None:
    ids = [
        action["_id"] for action, _ in made({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}, {"a": 1})
    ]
    assert ids[0] == ids[1] != ids[2]


def test_texts_and_times_are_as_json_has_them() -> None:
    [(action, document)] = made(
        {
            "text": 'é"\n\0',
            "at": datetime(2026, 11, 1, tzinfo=timezone.utc),
            "naive": datetime(2026, 11, 1),  # noqa: DTZ001
            "nan": float("nan"),
        }
    )
    assert document == {"text": 'é"\n\0', "at": "2026-11-01T00:00:00Z", "naive": "2026-11-01T00:00:00Z", "nan": None}
    assert "version" not in action


def test_a_version_guards() -> None:
    [(action, _)] = made({"n": 7}, version="n")
    assert (action["version"], action["version_type"]) == (7, "external_gte")


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([SECRET], "no dict, but list"),
        ({"v": 1, "other": SECRET}, "lacks k"),
        ({"k": SECRET}, "lacks v"),
        ({"k": SECRET, "v": -1}, "field v is no whole number of 0 or more"),
        ({"k": SECRET, "v": True}, "field v is no whole number of 0 or more"),
        ({"k": SECRET, "v": 1 << 63}, "field v is no whole number of 0 or more"),
        ({"k": SECRET, "v": 1, "x": {1, 2}}, "no JSON: Type is not JSON serializable: set"),
        ({"k": SECRET, "v": 1, "x": "\udc80"}, "no JSON: str is not valid UTF-8: surrogates not allowed"),
        ({"k": SECRET, "v": 1, 7: 1}, "no JSON: Dict key must be str"),
    ],
)
def test_what_is_no_document_is_told_by_its_place_and_the_others_stand(document, why) -> None:
    good = {"k": 1, "v": 1}
    actions, refused = document_actions([good, document, good | {"k": 2}], "index", ["k"], "v")
    assert refused == {1: why}
    assert [json.loads(action.split("\n")[1])["k"] for action in actions.to_pylist()] == [1, 2]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"key": "url"}, ValueError),
        ({"max_actions": 0}, ValueError),
        ({"retry_seconds": -1}, ValueError),
        ({"index": "No"}, ElasticsearchError),
    ],
)
def test_wrong_options_are_refused_while_the_graph_is_built(options, error) -> None:
    with pytest.raises(error):
        WriteDocumentsToElasticsearch(ElasticsearchConnection(), **{"index": "index"} | options)
