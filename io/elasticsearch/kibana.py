"""Kibana: the data view, visualisations and dashboard of `dashboards/kibana.ndjson`, imported as saved objects."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import orjson
import urllib3

from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name, pattern_of
from clickstream.io.errors import UserError

_URL = re.compile(r"https?://([^\s/:?#@\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[^\s?#]*)?")
_SECONDS = 60.0
_CURES = {
    400: "is it Kibana 8.9 or later?",
    401: "give --elasticsearch_api_key, or --elasticsearch_user and --elasticsearch_password",
    403: "the account needs the right to manage saved objects in this space",
    404: "check the address: http://HOST:PORT, with /s/SPACE for a space of its own",
    503: "it isn't ready yet, wait and try again",
}


def saved_objects(index: str = DEFAULT_INDEX) -> bytes:
    """The objects as Kibana exports them (NDJSON). The data view is of this index, and of others whose names begin so, but not of roll-ups."""
    text = resources.files("clickstream.dashboards").joinpath("kibana.ndjson").read_text(encoding="utf-8")
    return text.replace(f'"{DEFAULT_INDEX}*,', f'"{pattern_of(check_index_name(index)).rstrip("*")}*,').encode()


def import_saved_objects(url: str, credentials: ElasticsearchConnection, index: str = DEFAULT_INDEX) -> int:
    """Imports the objects; those of the same ids are replaced. Returns how many there are.

    Args:
        url: Kibana's address, with `/s/SPACE` for a space.
        credentials: Whose API key, or user and password, and certificate authority are used.
        index: Where the documents are.

    Raises:
        UserError: It can't be reached, refuses the request, or some object; what to do.
        SecretError: A reference leads nowhere.
    """
    if not _URL.fullmatch(url):
        message = "--kibana takes http://HOST:PORT or https://HOST:PORT, with /s/SPACE for a space; no user or password in it."
        raise UserError(message)
    fields = {"file": ("kibana.ndjson", saved_objects(index), "application/ndjson")}
    headers = {"kbn-xsrf": "true", **credentials.authorization()}
    answer = _post(f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true", fields, headers, credentials.ca_certs)
    found = _json(answer.data)
    if answer.status != 200 or "success" not in found:
        raise UserError(_refusal(answer.status, found))
    for complaint in _complaints(found):
        message = f"Kibana did not import {complaint}: nothing is lost, mend it and run setup-sinks again."
        raise UserError(message)
    return int(found["successCount"])


def _post(url: str, fields: Any, headers: Mapping[str, str], ca_certs: str | None) -> urllib3.BaseHTTPResponse:
    options: dict[str, Any] = {"ca_certs": ca_certs} if ca_certs else {}
    try:
        # Redirects are not followed: they lead to a login page, or take the credentials elsewhere.
        with urllib3.PoolManager(retries=False, timeout=_SECONDS, **options) as pool:
            return pool.request("POST", url, fields=fields, headers=headers, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        detail = " ".join(str(error).rpartition(": ")[2].split())[:200]
        message = f"Kibana can't be reached ({detail}): check that it runs, its address, and http or https."
        raise UserError(message) from None


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, found: Mapping[str, Any]) -> str:
    if 300 <= status < 400:
        return f"Kibana answered {status}, with another address: {_CURES[401]}, or {_CURES[404]}."
    reason = " ".join(str(found.get("message", "")).split())[:300]
    told = f" ({reason})" if reason else ""
    cure = _CURES.get(status, "look into its log" if status >= 500 else "check that this is Kibana's address")
    return f"Kibana answered {status}{told}: {cure}."


def _complaints(found: Mapping[str, Any]) -> Iterator[str]:
    """Each object that was not imported, and why."""
    errors = found.get("errors") or ([] if found["success"] else [{}])
    for each in errors:
        error = each.get("error", {})
        why = " ".join(str(error.get("message") or error.get("type") or "no reason given").split())[:200]
        yield f"{each.get('type', 'all')} {each.get('id', 'objects')} ({why})"
