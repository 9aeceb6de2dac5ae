"""What the made-up site is made of: its hours, visitors' places and devices, addresses, and the ways records are broken."""

import re
from collections.abc import Callable

# A day's visits by hour, UTC.
HOURS = (38, 30, 24, 20, 19, 22, 30, 42, 56, 68, 76, 80, 84, 86, 88, 90, 92, 95, 98, 100, 96, 84, 68, 52)
# Weight, country, cities; the largest first.
PLACES = """22|United States|New York|Los Angeles|Chicago|Houston
18|India|Mumbai|Bengaluru|Delhi
8|Germany|Berlin|Hamburg|München
7|United Kingdom|London|Manchester
7|Brazil|São Paulo|Rio de Janeiro
6|Japan|Tokyo|Osaka
5|France|Paris|Lyon
4|Canada|Toronto|Montréal
4|Indonesia|Jakarta|Surabaya
3|Mexico|Mexico City|Guadalajara
3|Spain|Madrid|Barcelona
3|Italy|Milano|Roma
2|Australia|Sydney|Melbourne
2|Netherlands|Amsterdam|Rotterdam
2|Nigeria|Lagos|Abuja
1|Kenya|Nairobi|Mombasa
1|South Korea|Seoul|Busan
1|Poland|Warszawa|Kraków
1|Sweden|Stockholm|Göteborg
1|Côte d'Ivoire|Abidjan|Bouaké""".splitlines()
# Weight, browser, os, device.
AGENTS = """28|Chrome Mobile|Android|smartphone
26|Chrome|Windows|desktop
18|Mobile Safari|iOS|smartphone
8|Safari|macOS|desktop
7|Edge|Windows|desktop
4|Firefox|Windows|desktop
3|Samsung Internet|Android|smartphone
3|Mobile Safari|iPadOS|tablet
2|Firefox|Linux|desktop
1|Opera|Windows|desktop""".splitlines()
# What a URL wears: weight on a session's first page, weight on its others, host, parameters or fragment.
DRESSES = """66|940|https://www.example.com|
9|6|https://www.example.com|utm_source=newsletter&utm_medium=email
8|4|https://www.example.com|utm_source=google&utm_medium=cpc&utm_campaign=autumn
6|2|https://www.example.com|gclid=EAIaIQobChMI7dSx2K
5|2|https://www.example.com|fbclid=IwAR0mQx9zLkT4
1|20|https://www.example.com|#reviews
3|16|https://WWW.Example.com|
2|10|https://www.example.com:443|""".splitlines()
# What paths are made of.
CATEGORIES = ["shoes", "jackets", "kitchen", "garden", "books", "audio", "cameras", "toys", "travel", "bicycles"]
THINGS = ["classic", "compact", "deluxe", "family", "light", "outdoor", "pocket", "premium", "trail", "urban"]

_URL, _COUNTRY = rb'"url":"[^"]*"', rb'"country":"[^"]*"'
_USER, _TIME = rb'"user_id":"[^"]*"', rb'"timestamp":"[^"]*"'
_CITY, _SPENT = rb'"city":"', rb',"time_spent":[0-9.]+'


def _swap(pattern: bytes, text: bytes) -> Callable[[bytes], bytes]:
    find = re.compile(pattern)
    return lambda record: find.sub(text, record, count=1)


def _with_time_spent(text: bytes) -> Callable[[bytes], bytes]:
    """Puts the time before the URL, after taking away another, so that no key comes twice."""
    drop, put = _swap(_SPENT, b""), _swap(rb',"url"', b',"time_spent":' + text + b',"url"')
    return lambda record: put(drop(record))


# Each takes a sound record, nested or flat, and gives one that is refused.
BROKEN_KINDS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda record: record[: len(record) // 2],
    "plain_text": lambda _: b"GET /index.html HTTP/1.1 200",
    "number": lambda _: b"42",
    "array": lambda record: b"[" + record + b"]",
    "two_records": lambda record: record + record,
    "nul_at_end": lambda record: record + b"\0",
    "deep_nesting": _swap(_USER, b'"user_id":' + b"[" * 2_000 + b"]" * 2_000),
    "invalid_utf8": _swap(_CITY, rb"\g<0>" + b"\xff\xfe"),
    "hex_escape": _swap(_CITY, rb"\g<0>\\x22"),
    "number_user_id": _swap(_USER, b'"user_id":1234'),
    "empty_user_id": _swap(_USER, b'"user_id":""'),
    "missing_user_id": _swap(_USER + b",", b""),
    "missing_url": _swap(b"," + _URL, b""),
    "null_url": _swap(_URL, b'"url":null'),
    "javascript_url": _swap(_URL, b'"url":"javascript:alert(1)"'),
    "relative_url": _swap(_URL, b'"url":"/products/shoes"'),
    "null_user_id": _swap(_USER, b'"user_id":null'),
    "list_country": _swap(_COUNTRY, b'"country":["India"]'),
    "number_country": _swap(_COUNTRY, b'"country":49'),
    "no_timestamp": _swap(_TIME, b'"timestamp":"yesterday"'),
    "impossible_date": _swap(_TIME, b'"timestamp":"2025-02-30T12:00:00.000Z"'),
    "far_future": _swap(_TIME, b'"timestamp":"2150-01-01T00:00:00.000Z"'),
    "nan_time_spent": _with_time_spent(b"NaN"),
    "infinite_time_spent": _with_time_spent(b"-Infinity"),
}
