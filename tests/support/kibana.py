"""What Kibana asks Elasticsearch for a Lens panel, and what it makes of the answer; for as much of Lens as the dashboard uses."""

import json
from collections.abc import Iterator
from typing import Any

from clickstream.io.elasticsearch.kibana import saved_objects

METRICS = {"sum": "sum", "unique_count": "cardinality"}
AUTO = "1h"  # Lens chooses the interval by the range of time


def objects(index: str = "processed_clickstream_data") -> dict[str, dict[str, Any]]:
    """The saved objects, by id."""
    found = [json.loads(line) for line in saved_objects(index).splitlines()]
    assert len({each["id"] for each in found}) == len(found)
    return {each["id"]: each for each in found}


def layer(panel: dict[str, Any]) -> dict[str, Any]:
    """The one layer of a Lens object."""
    (only,) = panel["attributes"]["state"]["datasourceStates"]["formBased"]["layers"].values()
    return only


def shown(panel: dict[str, Any]) -> list[str]:
    """The columns that a panel shows."""
    state = panel["attributes"]["state"]["visualization"]
    if panel["attributes"]["visualizationType"] == "lnsMetric":
        return [state["metricAccessor"]]
    if panel["attributes"]["visualizationType"] == "lnsDatatable":
        return [column["columnId"] for column in state["columns"]]
    (only,) = state["layers"]
    return [only["xAccessor"], *only["accessors"]]


def request(panel: dict[str, Any]) -> dict[str, Any]:
    """The body of the search."""
    state, columns = panel["attributes"]["state"], layer(panel)["columns"]
    assert (state["query"], state["filters"]) == ({"query": "", "language": "kuery"}, [])
    ordered = {name: columns[name] for name in layer(panel)["columnOrder"]}
    aggregations = {name: agg for name, column in ordered.items() if (agg := _metric(column)) is not None}
    for name, column in reversed(ordered.items()):
        if column["isBucketed"]:
            aggregations = {name: {**_bucket(column), "aggs": aggregations}}
    return {"size": 0, "track_total_hits": True, "aggs": aggregations}


def _metric(column: dict[str, Any]) -> dict[str, Any] | None:
    kind = column["operationType"]
    if kind in METRICS:
        assert "filter" not in column
        return {METRICS[kind]: {"field": column["sourceField"]}}
    if kind == "count":
        assert column["filter"] == {"query": "not users_exact : true", "language": "kuery"}
        return {"filter": {"bool": {"must_not": {"term": {"users_exact": True}}}}}
    assert column["isBucketed"] or kind in ("math", "formula")
    return None


def _bucket(column: dict[str, Any]) -> dict[str, Any]:
    parameters = column["params"]
    if column["operationType"] == "date_histogram":
        assert parameters["interval"] == "auto"
        return {"date_histogram": {"field": column["sourceField"], "fixed_interval": AUTO, "min_doc_count": 1}}
    assert column["operationType"] == "terms"
    order = {parameters["orderBy"]["columnId"]: parameters["orderDirection"]}
    return {"terms": {"field": column["sourceField"], "size": parameters["size"], "order": order}}


def formatted(view: dict[str, Any], field: str, value: Any) -> Any:
    """A value of a field as the data view has it shown, by a table of texts (Kibana's `static_lookup`); others as they are."""
    form = json.loads(view["attributes"]["fieldFormatMap"]).get(field)
    if form is None:
        return value
    assert form["id"] == "static_lookup"
    assert form["params"]["unknownKeyValue"] is None
    return {each["key"]: each["value"] for each in form["params"]["lookupEntries"]}.get(value, value)


def rows(panel: dict[str, Any], answer: dict[str, Any]) -> list[list[Any]]:
    """The cells of the columns that are shown."""
    columns = layer(panel)["columns"]
    buckets = [name for name, column in columns.items() if column["isBucketed"]]
    parts = answer["aggregations"][buckets[0]]["buckets"] if buckets else [answer["aggregations"]]
    return [[_value(name, columns, part) for name in shown(panel)] for part in parts]


def _value(name: str, columns: dict[str, Any], part: dict[str, Any]) -> Any:
    column = columns[name]
    if column["isBucketed"]:
        return part["key"]
    if column["operationType"] == "formula":
        (reference,) = column["references"]
        return _value(reference, columns, part)
    if column["operationType"] == "math":
        return _computed(column["params"]["tinymathAst"], columns, part)
    return part[name]["doc_count" if column["operationType"] == "count" else "value"]


def _computed(ast: dict[str, Any], columns: dict[str, Any], part: dict[str, Any]) -> float | None:
    assert ast["name"] == "divide"
    dividend, divisor = (_value(name, columns, part) for name in ast["args"])
    return dividend / divisor if divisor else None  # an error is shown as nothing


def fields(panel: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is done with which field."""
    for column in layer(panel)["columns"].values():
        if "sourceField" in column and column["sourceField"] != "___records___":
            yield column["operationType"], column["sourceField"]
