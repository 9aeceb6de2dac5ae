"""Each built-in format once more, by plain `json` and ifs: what `tests/formats` holds the mappings against.

An oracle gives the click as (user, milliseconds, URL, country), None for an event that is none, or the text "refused".
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

Click = tuple[str, int, str, str]
Outcome = Click | None | str
REFUSED = "refused"
_ASSET = re.compile(
    r"\.(css|js|mjs|map|json|xml|txt|png|jpe?g|gif|svg|ico|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|zip|gz|pdf)$",
    re.I,
)


def _ms(text: str) -> int:
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def _first(*values: Any) -> str:
    for value in values:
        if value not in (None, ""):
            return str(value)
    return ""


def _click(user: str, millis: int | None, url: Any, country: Any) -> Outcome:
    if not user or millis is None or not isinstance(url, str) or not url:
        return REFUSED
    return user, millis, url, country or ""


def _is_page(method: str, status: str, path: str) -> bool:
    return method == "GET" and (status[0] == "2" or status == "304") and not _ASSET.search(path.partition("?")[0])


def segment(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("type") != "page":
        return None
    time = _first(*(event.get(name) for name in ("timestamp", "originalTimestamp", "receivedAt", "sentAt")))
    context, properties = event.get("context") or {}, event.get("properties") or {}
    url = properties.get("url") or (context.get("page") or {}).get("url")
    country = (context.get("location") or {}).get("country")
    return _click(_first(event.get("userId"), event.get("anonymousId")), _ms(time) if time else None, url, country)


def snowplow(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("event") != "page_view":
        return None
    user = _first(event.get("user_id"), event.get("domain_userid"), event.get("network_userid"))
    time = _first(event.get("derived_tstamp"), event.get("collector_tstamp"))
    return _click(user, _ms(time), event.get("page_url"), event.get("geo_country"))


def snowplow_tsv(line: str) -> Outcome:
    parts = line.split("\t")
    if len(parts) != 131:
        return REFUSED
    if parts[5] != "page_view":
        return None
    return _click(_first(parts[12], parts[15], parts[17]), _ms(parts[124] or parts[3]), parts[29], parts[18])


def ga4(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("event_name") != "page_view":
        return None
    url = next(
        (p["value"].get("string_value") for p in event.get("event_params", []) if p["key"] == "page_location"), None
    )
    country = (event.get("geo") or {}).get("country")
    user = _first(event.get("user_id"), event.get("user_pseudo_id"))
    return _click(user, int(event["event_timestamp"]) // 1000, url, country)


def posthog(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("event") != "$pageview":
        return None
    found = event["properties"]
    country = found.get("$geoip_country_name") or found.get("$geoip_country_code")
    return _click(_first(event.get("distinct_id")), _ms(event["timestamp"]), found.get("$current_url"), country)


def matomo(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("type") != "action":
        return None
    user = _first(event.get("userId"), event.get("visitorId"))
    return _click(user, int(event["timestamp"]) * 1000, event.get("url"), event.get("country"))


def plausible(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("name") != "pageview":
        return None
    url = f"https://{event['hostname']}{event['pathname']}" if event.get("hostname") and event.get("pathname") else ""
    return _click(_first(event.get("user_id")), _ms(event["timestamp"]), url, event.get("country_code"))


def umami(line: str) -> Outcome:
    event = json.loads(line)
    if event.get("event_type") != 1:
        return None
    url = f"https://{event['hostname']}{event['url_path']}" + (
        f"?{event['url_query']}" if event.get("url_query") else ""
    )
    return _click(_first(event.get("session_id")), _ms(event["created_at"]), url, event.get("country"))


def cloudfront(line: str) -> Outcome:
    if line.startswith("#"):
        return None
    parts = line.split("\t")
    if len(parts) != 33:
        return REFUSED
    date, time, ip, method, stem, status, query = (parts[n] for n in (0, 1, 4, 5, 7, 8, 11))
    host, protocol, kind = parts[15], parts[16], parts[29]
    if method != "GET" or not (status[0] == "2" or status == "304") or not kind.startswith("text/html"):
        return None
    return _click(ip, _ms(f"{date}T{time}Z"), f"{protocol}://{host}{stem}" + ("" if query == "-" else f"?{query}"), "")


def combined(line: str, base: str = "https://shop.example") -> Outcome:
    found = re.match(r'(\S+) \S+ (\S+) \[(.*?)\] "(.*?)(?<!\\)" (\d+) ', line)
    if found is None:
        return REFUSED
    host, user, time, request, status = found.groups()
    method, _, rest = request.partition(" ")
    target = rest.partition(" ")[0]
    if not _is_page(method, status, target):
        return None
    millis = round(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp() * 1000)
    return _click(host if user == "-" else user, millis, base + target, "")


def nginx_json(line: str) -> Outcome:
    event = json.loads(line)
    if not _is_page(event["request_method"], str(event["status"]), event["request_uri"]):
        return None
    user = _first(event.get("remote_user"), event.get("remote_addr"))
    url = f"{event['scheme']}://{event['host']}{event['request_uri']}"
    return _click(user, _ms(event["time_iso8601"]), url, "")


def w3c(line: str, base: str = "https://shop.example") -> Outcome:
    if line.startswith("#"):
        return None
    parts = line.split(" ")
    if len(parts) != 15:
        return REFUSED
    date, time, _, method, stem, query, _, user, ip = parts[:9]
    if not _is_page(method, parts[11], stem):
        return None
    url = base + stem + ("" if query == "-" else f"?{query}")
    return _click(ip if user == "-" else user, _ms(f"{date}T{time}Z"), url, "")


def ksqldb(line: str, base: str = "https://shop.example") -> Outcome:
    event = json.loads(line)
    found = re.match(r"GET (\S+)", event["request"])
    status = str(event["status"])
    if not found or not (status[0] == "2" or status == "304"):
        return None
    return _click(_first(event.get("userid"), event.get("ip")), int(event["_time"]), base + found[1], "")


def debezium_segment(line: str) -> Outcome:
    event = json.loads(line)
    event = event.get("payload", event)
    return segment(json.dumps(event["after"])) if event["op"] in ("c", "r") else None


def debezium(line: str) -> Outcome:
    event = json.loads(line)
    event = event.get("payload", event)
    if event["op"] not in ("c", "r"):
        return None
    row = event["after"]
    click, geo = row.get("click_data") or row, row.get("geo_data") or row
    return _click(click.get("user_id") or "", _ms(click["timestamp"]), click.get("url"), geo.get("country"))


ORACLES: dict[str, Callable[[str], Outcome]] = {
    "segment": segment,
    "snowplow": snowplow,
    "snowplow_tsv": snowplow_tsv,
    "ga4": ga4,
    "posthog": posthog,
    "matomo": matomo,
    "plausible": plausible,
    "umami": umami,
    "cloudfront": cloudfront,
    "combined": combined,
    "nginx_json": nginx_json,
    "w3c": w3c,
    "ksqldb": ksqldb,
    "debezium": debezium,
    "debezium+segment": debezium_segment,
}
