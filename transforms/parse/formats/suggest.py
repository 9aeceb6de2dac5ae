"""A first format for events of an unknown shape, by names and kinds of their values: for a person to look over."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from clickstream.transforms.parse.formats.leaves import leaves
from clickstream.transforms.parse.formats.paths import Path

# Names of fields as they come, without case, dots and underscores; the better first.
_NAMES = {
    "user_id": "userid useruid distinctid customerid memberid anonymousid visitorid userpseudoid clientid deviceid uid user "
    "cookieid sessionid remoteaddr ip",
    "timestamp": "timestamp eventtimestamp eventtime originaltimestamp derivedtstamp collectortstamp createdat occurredat time ts "
    "timeiso8601 datetime date clientts servertime receivedat sentat",
    "url": "url pageurl currenturl pagelocation location href uri requesturi pagepath path request",
    "country": "country countryname geocountry geoipcountryname countrycode geoipcountrycode",
    "city": "city cityname geocity geoipcityname",
    "browser": "browser browsername brname",
    "os": "os osname operatingsystem platform",
    "device": "device devicetype devicecategory category dvcetype",
    "referrer": "referrer referer httpreferer pagereferrer documentreferrer",
    "row_key": "messageid eventid uuid insertid requestid rowkey id",
}
_TYPES = ("type", "eventname", "event", "eventtype", "name", "action")
_PAGES = re.compile(r"\$?page[ _-]?(view(ed)?)?s?|screen|\$?pageview", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_NUMBER = re.compile(r"\d{9,19}(\.\d+)?")
_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$-]*")


class _Value(NamedTuple):
    path: Path
    texts: list[str]

    def all_like(self, pattern: re.Pattern[str]) -> bool:
        return all(map(pattern.fullmatch, self.texts))


def suggest_format(events: Sequence[Any]) -> str:
    """YAML of a format; where nothing fits a field that must be there, a place to fill in.

    Args:
        events: Decoded JSON objects; some dozens are enough.
    """
    found: dict[Path, list[str]] = {}
    for event in events:
        for path, text in leaves(event):
            found.setdefault(path, []).append(text)
    values = [_Value(path, texts) for path, texts in found.items()]
    lines = ["# Suggested by names and kinds of values: look it over.", "fields:"]
    lines += [f"  {name}: {written}" for name in _NAMES if (written := _written(name, values))]
    return "\n".join([*lines, *_only(values), "types: lenient", ""])


def _written(name: str, values: list[_Value]) -> str:
    fitting = [value for value in values if _fits(name, value)]
    ranked = sorted(((_rank(name, value.path), value) for value in fitting), key=lambda each: each[0])
    best = [value for rank, value in ranked if rank < len(_NAMES[name].split())] or [
        v for v in fitting if name == "url" and _is_url(v)
    ]
    if not best:
        return "PATH  # not found: write where it is" if name in ("user_id", "timestamp", "url") else ""
    if name == "user_id" and len(best) > 1:
        return f"[{_quoted(best[0].path)}, {_quoted(best[1].path)}]"
    return _source(name, best[0])


def _source(name: str, value: _Value) -> str:
    path = _quoted(value.path)
    if name == "timestamp" and value.all_like(_NUMBER):
        digits = len(value.texts[0].partition(".")[0])
        return f"{{path: {path}, unit: {_UNITS[min(_UNITS, key=lambda known: abs(known - digits))]}}}"
    if name == "url" and not _is_url(value):
        return f'{{path: {path}, base: "https://example.com"}}  # the host isn\'t in the events: write yours'
    return path


def _fits(name: str, value: _Value) -> bool:
    if name == "timestamp":
        return value.all_like(_ISO) or value.all_like(_NUMBER)
    if name == "url":
        return _is_url(value) or all(text.startswith("/") for text in value.texts)
    return all(map(str.strip, value.texts))


def _is_url(value: _Value) -> bool:
    return all(text.startswith(("http://", "https://")) for text in value.texts)


def _rank(name: str, path: Path) -> float:
    """The place of the path's name among those that a field goes by; a shorter path before a longer one."""
    known = _NAMES[name].split()
    words = [re.sub(r"[^a-z0-9]", "", str(getattr(step, "value", step)).lower()) for step in path.steps]
    endings = ("".join(words[-count:]) for count in (1, 2, 3))
    places = [known.index(ending) for ending in endings if ending in known]
    # Under a key, the last names are those of the value's type.
    places += [
        known.index(word) for word in words[:-1] if word in known and any(hasattr(step, "value") for step in path.steps)
    ]
    return min(places) + len(words) / 100 if places else len(known)


def _only(values: list[_Value]) -> list[str]:
    for name in _TYPES:
        for value in values:
            pages = Counter(text for text in value.texts if _PAGES.fullmatch(text))
            if pages and str(value.path.steps[-1]).lower().replace("_", "") == name:
                return [f"only: {{path: {_quoted(value.path)}, is: {_text(pages.most_common(1)[0][0])}}}"]
    return []


def _quoted(path: Path) -> str:
    return _text(str(path))


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and not text.startswith("$") else "'" + text.replace("'", "''") + "'"
