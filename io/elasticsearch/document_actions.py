"""Any dicts to Elasticsearch's bulk actions: pure, one at a time."""

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from clickstream.io.elasticsearch.actions import id_of

_LAST_VERSION = (1 << 63) - 1
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def document_actions(
    documents: Sequence[Any], index: str, key: Sequence[str] = (), version: str | None = None
) -> tuple[pa.StringArray, dict[int, str]]:
    """One action a document that can be one, in order; and by their places the others, and why (no values in it).

    Args:
        documents: Dicts of JSON values, dates and times.
        index: Where to write.
        key: The fields that tell documents apart, of which the `_id` is made; none: all of them.
        version: The field, a whole number, by which a greater or equal one replaces a lesser. None: the last to come stands.
    """
    found = [_action_or_why(document, index, key, version) for document in documents]
    actions = [action for action, _ in found if action]
    return pa.array(actions, pa.string()), {place: why for place, (_, why) in enumerate(found) if why}


def _action_or_why(document: Any, index: str, key: Sequence[str], version: str | None) -> tuple[str, str]:
    if not isinstance(document, dict):
        return "", f"no dict, but {type(document).__name__}"
    missing = [name for name in (*key, *([version] if version else [])) if name not in document]
    if missing:
        return "", f"lacks {', '.join(missing)}"
    if version is not None and not _is_version(document[version]):
        return "", f"field {version} is no whole number of 0 or more"
    try:
        return _action(document, index, key, version), ""
    except TypeError as error:  # whose text is of types, not of values
        return "", f"no JSON: {error}"


def _action(document: dict[str, Any], index: str, key: Sequence[str], version: str | None) -> str:
    text = orjson.dumps(document, option=_OPTIONS)
    told_by = [document[name] for name in key] if key else document
    identity = orjson.dumps(told_by, option=_OPTIONS | orjson.OPT_SORT_KEYS)
    action: dict[str, Any] = {"_index": index, "_id": id_of(identity)}
    if version is not None:
        action |= {"version": document[version], "version_type": "external_gte"}
    return f"{orjson.dumps({'index': action}).decode()}\n{text.decode()}\n"


def _is_version(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LAST_VERSION
