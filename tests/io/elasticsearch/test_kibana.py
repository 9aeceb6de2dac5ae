"""The dashboard's saved objects against the index they're for; and the import, to a server that answers as Kibana documents it."""

import json
import re

import pytest
from kibana import fields, formatted, layer, objects, shown
from kibana_server import answering

from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.kibana import import_saved_objects, saved_objects
from clickstream.io.elasticsearch.mapping import MAPPING
from clickstream.io.errors import UserError

OBJECTS = objects()
PANELS = {name: each for name, each in OBJECTS.items() if each["type"] == "lens"}
DASHBOARD = OBJECTS["clickstream-dashboard"]
TYPES = {
    "sum": {"long", "double"},
    "unique_count": {"long"},
    "terms": {"keyword"},
    "date_histogram": {"date"},
}


def test_ids_and_kinds_are_fixed() -> None:
    assert {name: each["type"] for name, each in OBJECTS.items()} == {
        "clickstream-data-view": "index-pattern",
        "clickstream-dashboard": "dashboard",
        **{
            f"clickstream-{name}": "lens"
            for name in (
                *("clicks", "users", "time-spent", "time-known", "bounce-rate", "estimated-rows"),
                *("clicks-over-time", "users-over-time", "pages", "countries"),
            )
        },
    }
    for each in OBJECTS.values():
        assert {"id", "type", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion"} <= each.keys()


def test_every_reference_leads_somewhere() -> None:
    for each in OBJECTS.values():
        for reference in each["references"]:
            assert OBJECTS[reference["id"]]["type"] == reference["type"]
    for panel in PANELS.values():
        names = [f"indexpattern-datasource-layer-{name}" for name in _layers(panel)]
        assert [reference["name"] for reference in panel["references"]] == names


def _layers(panel: dict) -> list[str]:
    return list(panel["attributes"]["state"]["datasourceStates"]["formBased"]["layers"])


def test_the_dashboard_shows_all_panels_side_by_side() -> None:
    placed = json.loads(DASHBOARD["attributes"]["panelsJSON"])
    named = {reference["name"]: reference["id"] for reference in DASHBOARD["references"]}
    assert {named[f"{p['panelIndex']}:{p['panelRefName']}"] for p in placed} == set(PANELS)
    cells = [
        (x, y)
        for grid in (panel["gridData"] for panel in placed)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 48
    for name in ("optionsJSON",):
        assert json.loads(DASHBOARD["attributes"][name])
    json.loads(DASHBOARD["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])


def test_the_data_view_is_of_the_windows_adds_no_fields_and_names_the_unknown_country() -> None:
    view = OBJECTS["clickstream-data-view"]["attributes"]
    assert view["title"] == "processed_clickstream_data*,-*_1h,-*_1d"
    assert MAPPING[view["timeFieldName"]]["type"] == "date"
    assert (view["runtimeFieldMap"], view["fields"]) == ("{}", "[]")
    countries = {"": "unknown", "India": "India", "unknown": "unknown"}
    assert {name: formatted(OBJECTS["clickstream-data-view"], "country", name) for name in countries} == countries
    assert objects("shop")["clickstream-data-view"]["attributes"]["title"] == "shop*,-*_1h,-*_1d"
    assert b"processed_clickstream_data" not in saved_objects("shop")


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_asks_for_fields_that_can_be_asked_for(name) -> None:
    panel, columns = PANELS[name], layer(PANELS[name])["columns"]
    asked = list(fields(panel))
    for operation, field in asked:
        assert MAPPING[field]["type"] in TYPES[operation]
        assert MAPPING[field].get("doc_values", True)
    assert sorted(layer(panel)["columnOrder"]) == sorted(columns)
    assert set(shown(panel)) <= set(columns)
    for column in columns.values():
        assert set(column.get("references", ())) <= set(columns)
    assert panel["attributes"]["title"]
    assert panel["attributes"]["description"]
    assert "script" not in json.dumps(panel).replace("description", "")


@pytest.mark.parametrize("name", PANELS)
def test_a_formula_says_what_is_computed(name) -> None:
    columns = layer(PANELS[name])["columns"]
    for formula in (column for column in columns.values() if column["operationType"] == "formula"):
        (math,) = (columns[reference] for reference in formula["references"])
        parts = [columns[argument] for argument in math["params"]["tinymathAst"]["args"]]
        text = " / ".join(f"{part['operationType']}({part['sourceField']})" for part in parts)
        assert formula["params"]["formula"] == math["params"]["tinymathAst"]["text"] == text
        assert math["references"] == math["params"]["tinymathAst"]["args"]


def test_no_mean_of_means() -> None:
    for panel in PANELS.values():
        for column in layer(panel)["columns"].values():
            assert column["operationType"] not in ("average", "median", "percentile")
            assert column.get("sourceField") not in (
                "avg_time_spent",
                "unique_users",
                "median_time_spent",
                "p90_time_spent",
            )


NOBODY = ElasticsearchConnection()
DONE = {"success": True, "successCount": 12, "warnings": [], "successResults": []}


def test_the_import_is_as_documented() -> None:
    with answering(200, DONE) as (url, asked):
        assert import_saved_objects(url, NOBODY) == 12
        assert import_saved_objects(f"{url}/s/shop/", NOBODY, "shop") == 12
    (path, headers, part), (in_space, _, other) = asked
    assert path == "/api/saved_objects/_import?overwrite=true"
    assert in_space == f"/s/shop{path}"
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["kbn-xsrf"] == "true"
    assert "authorization" not in headers
    assert (part.get_param("name", header="content-disposition"), part.get_filename()) == ("file", "kibana.ndjson")
    assert part.get_payload(decode=True) == saved_objects()
    assert other.get_payload(decode=True) == saved_objects("shop")
    assert [json.loads(line)["id"] for line in part.get_payload(decode=True).splitlines()] == list(OBJECTS)


@pytest.mark.parametrize(
    ("account", "header"),
    [
        ({"api_key": "env:CLICKSTREAM_TEST_KEY"}, "ApiKey CANARYkey=="),
        ({"user": "ü", "password": "env:CLICKSTREAM_TEST_KEY"}, "Basic w7w6Q0FOQVJZa2V5PT0="),
    ],
)
def test_the_account_is_that_of_elasticsearch(account, header, monkeypatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_TEST_KEY", "CANARYkey==")
    with answering(200, DONE) as (url, asked):
        import_saved_objects(url, ElasticsearchConnection(**account))
    assert {name.lower(): value for name, value in asked[0][1].items()}["authorization"] == header


REFUSED = {"type": "lens", "id": "clickstream-pages", "error": {"type": "missing_references", "references": []}}
UNAUTHORIZED = {"statusCode": 401, "error": "Unauthorized", "message": "[security_exception]: missing\nauthentication"}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            401,
            UNAUTHORIZED,
            "Kibana answered 401 ([security_exception]: missing authentication): give --elasticsearch_api_key, or",
        ),
        (
            403,
            {"message": "Unable to bulk_create lens"},
            "403 (Unable to bulk_create lens): the account needs the right to manage",
        ),
        (404, "<html>", "Kibana answered 404: check the address: http://HOST:PORT, with /s/SPACE"),
        (503, "Kibana server is not ready yet", "Kibana answered 503: it isn't ready yet, wait and try again."),
        (
            500,
            {"message": "An internal server error occurred"},
            "500 (An internal server error occurred): look into its log.",
        ),
        (200, "<html>", "Kibana answered 200: check that this is Kibana's address."),
        (200, [], "Kibana answered 200: check that this is Kibana's address."),
        (
            200,
            {"success": False, "successCount": 11, "errors": [REFUSED]},
            "Kibana did not import lens clickstream-pages (missing_references): nothing is lost, mend it and run setup-sinks again.",
        ),
        (200, {"success": False, "successCount": 0}, "Kibana did not import all objects (no reason given)"),
    ],
)
def test_an_answer_that_is_no_success_is_one_clear_line(status, answer, said) -> None:
    with answering(status, answer) as (url, _), pytest.raises(UserError, match=re.escape(said)) as raised:
        import_saved_objects(url, NOBODY)
    assert "\n" not in str(raised.value)


def test_credentials_are_not_sent_where_a_redirect_leads() -> None:
    with answering(200, DONE) as (elsewhere, others), answering(302, "", f"{elsewhere}/login") as (url, _):
        with pytest.raises(UserError, match="Kibana answered 302, with another address: give --elasticsearch_api_key"):
            import_saved_objects(url, NOBODY)
        assert others == []


def test_an_address_that_leads_nowhere() -> None:
    with answering(200, DONE) as (url, _):
        pass
    with pytest.raises(UserError, match=r"^Kibana can't be reached \(.*refused.*\): check that it runs"):
        import_saved_objects(url, NOBODY)
    for wrong in ("kibana:5601", "http://elastic:CANARY@localhost:5601", "http://localhost:5601?x=1"):
        with pytest.raises(UserError, match="--kibana takes http://HOST:PORT") as raised:
            import_saved_objects(wrong, NOBODY)
        assert "CANARY" not in str(raised.value)
