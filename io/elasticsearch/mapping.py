"""The fields of a document, and what an index's mapping lacks of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from clickstream.transforms.schema import PAGES, RowKind

_DATE = {"type": "date", "format": "strict_date_optional_time"}
_URL_LENGTH = 8_192  # UTF-16 units, of at most 3 bytes each: under Lucene's limit of 32,766 bytes for a term
_TYPES: dict[str, dict[str, Any]] = {
    "time": _DATE,
    "url": {"type": "keyword", "ignore_above": _URL_LENGTH},
    "country": {"type": "keyword", "ignore_above": 256},
    "value": {"type": "keyword", "ignore_above": _URL_LENGTH},
    "site": {"type": "keyword", "ignore_above": 256},
    "count": {"type": "long"},
    "seconds": {"type": "double"},
    "histogram": {"type": "object", "enabled": False},  # only kept: JSON with `values` and `counts`
    "theta": {"type": "long", "index": False},
    "hashes": {"type": "long", "index": False},
}


def mapping_of(kind: RowKind = PAGES) -> dict[str, dict[str, Any]]:
    """The fields of a kind's documents."""
    return {
        "@timestamp": _DATE,
        **{column.name: _TYPES[column.holds] for column in kind.columns},
        "users_exact": {"type": "boolean"},  # true: a cardinality over users_sketch counts all users
    }


MAPPING = mapping_of()


def complaints(properties: Mapping[str, Any], kind: RowKind = PAGES) -> Iterator[str]:
    """What differs from `mapping_of` in a way that matters: field, what was found, what is needed."""
    wanted = mapping_of(kind).items()
    return filter(None, (complaint_about(name, properties.get(name, {}), needed) for name, needed in wanted))


def complaint_about(name: str, found: Mapping[str, Any], needed: Mapping[str, Any]) -> str:
    """What is wrong with a field; nothing, if it takes and shows what is written."""
    kind = found.get("type", "object" if found else "none")
    length = found.get("ignore_above", 1 << 31)
    if kind != needed["type"]:
        return f"field {name}: found {kind}, needed {needed['type']}"
    if "strict_date_optional_time" not in found.get("format", "strict_date_optional_time"):
        return f"field {name}: found date format {found['format']}, needed {needed['format']}"
    if length < needed.get("ignore_above", 0):
        return f"field {name}: found ignore_above {length}, needed {needed['ignore_above']}"
    if found.get("enabled", True) != needed.get("enabled", True):
        return f"field {name}: found enabled true, needed false"
    return "" if found.get("doc_values", True) else f"field {name}: found doc_values false, needed true"
