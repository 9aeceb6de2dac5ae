"""The index template: put where there is none, changed only where it lacks what documents need. What else is in it is the user's."""

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Any

from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch.connection import ask, perform, refuse
from clickstream.io.elasticsearch.mapping import complaint_about, complaints, mapping_of
from clickstream.io.elasticsearch.names import index_at, kind_in, pattern_of, shares_template
from clickstream.transforms.schema import PAGES, RowKind

PRIORITY = 500
# What a template may be put with; an answer holds more.
_PARTS = (
    *("index_patterns", "template", "composed_of", "priority", "version", "_meta", "allow_auto_create", "data_stream"),
    *("ignore_missing_component_templates", "deprecated"),
)


def setup_template(client: Elasticsearch, index: str, settings: Mapping[str, int]) -> None:
    """Sees to it that an index of this name, when it is made, gets the mapping, and the settings if any are given.

    Raises:
        ElasticsearchError: Another template has precedence; or the account may not.
    """
    new, kind = index_at(index, datetime.now(timezone.utc)), kind_in(index)
    complaint = next(complaints(_properties(_simulated(client, new)), kind), "")
    own = _own(client, index)
    if own is None and not complaint and shares_template(index):
        return
    wanted = _with_settings(_with_mapping(own or _new(index), kind), settings)
    if wanted == own or not (complaint or settings):
        if complaint:
            _refuse_winner(client, index, new, wanted["priority"], complaint)
        return
    _refuse_winner(client, index, new, wanted.get("priority", 0), complaint or "with settings of its own")
    ask(client, "PUT", f"/_index_template/{template_name(index)}", wanted)
    for complaint in complaints(_properties(_simulated(client, new)), kind):
        refuse(
            f"Elasticsearch: index template {template_name(index)} doesn't reach index {new}, {complaint}: let its index_patterns match it."
        )


def template_name(index: str) -> str:
    """The index's name, without the braces of indices by time."""
    return index.replace("{", "").replace("}", "")


def _new(index: str) -> dict[str, Any]:
    return {
        "index_patterns": [pattern_of(index)],
        "priority": PRIORITY
        + (kind_in(index) != PAGES),  # the pattern of pages by time matches those of breakdowns too
        "template": {"mappings": {"dynamic": "strict", "properties": {}}},
        "_meta": {"managed_by": "clickstream-beam"},
    }


def _own(client: Elasticsearch, index: str) -> dict[str, Any] | None:
    path = f"/_index_template/{template_name(index)}"
    if not perform(client, "HEAD", path):
        return None
    found = ask(client, "GET", path)["index_templates"][0]["index_template"]
    return {name: found[name] for name in _PARTS if name in found}


def _simulated(client: Elasticsearch, new: str) -> dict[str, Any]:
    """What an index of this name would be given."""
    return ask(client, "POST", f"/_index_template/_simulate_index/{new}").get("template", {})


def _properties(template: Mapping[str, Any]) -> dict[str, Any]:
    return template.get("mappings", {}).get("properties", {})


def _with_mapping(template: dict[str, Any], kind: RowKind) -> dict[str, Any]:
    """The template with our fields where it has none that will do."""
    found = copy.deepcopy(template)
    properties = found.setdefault("template", {}).setdefault("mappings", {}).setdefault("properties", {})
    wanted = mapping_of(kind).items()
    properties |= {name: field for name, field in wanted if complaint_about(name, properties.get(name, {}), field)}
    return found


def _with_settings(template: dict[str, Any], settings: Mapping[str, int]) -> dict[str, Any]:
    if settings:
        given = {name: str(value) for name, value in settings.items()}
        index = template["template"].setdefault("settings", {}).setdefault("index", {})
        index |= given
    return template


def _refuse_winner(client: Elasticsearch, index: str, new: str, priority: int, complaint: str) -> None:
    """Names a template of others that an index of this name would get, whatever ours says."""
    for name, pattern, found in _others(client, index, new):
        if found >= priority:
            refuse(
                f"Elasticsearch: index template {name} ({pattern}, priority {found}) has precedence for index {new} over"
                f" {template_name(index)} (priority {priority}), {complaint}: lower its priority, or narrow its index_patterns."
                " No index was made."
            )


def _others(client: Elasticsearch, index: str, new: str) -> Iterator[tuple[str, str, int]]:
    """Other templates for an index of this name, the first to win first: name, pattern, priority."""
    wanted = ("name", "index_template.index_patterns", "index_template.priority")
    path = ",".join(f"index_templates.{part}" for part in wanted)
    templates = ask(client, "GET", f"/_index_template?filter_path={path}").get("index_templates", [])
    found = [
        (each["name"], pattern, int(each["index_template"].get("priority", 0)))
        for each in templates
        if each["name"] != template_name(index)
        for pattern in each["index_template"]["index_patterns"]
        if fnmatchcase(new, pattern)
    ]
    return iter(sorted(found, key=lambda other: -other[2]))
