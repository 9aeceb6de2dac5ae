"""Records of a user, pseudonyms to put in, and everything that parsing then gives."""

import json
import re

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import ParsedBatch, parse_clicks
from clickstream.transforms.parse.pseudonyms import Pseudonyms

KEY = "a key of the tests, long enough"


NOW = 1_795_000_000_000


NAMES, OTHERS = Pseudonyms(KEY), Pseudonyms(KEY + "!")


NESTED = {
    "row_key": "k1",
    "click_data": {"user_id": "visitor-1", "timestamp": "2026-11-01T10:00:00Z", "url": "https://a.example/x"},
    "geo_data": {"country": "India", "city": "Mumbai"},
    "user_agent_data": {"browser": "Firefox"},
}


FLAT = {"row_key": "k1"} | NESTED["click_data"] | NESTED["geo_data"] | NESTED["user_agent_data"]


def parse(*values: bytes, names: Pseudonyms | None = NAMES, **options) -> ParsedBatch:
    batch = RawBatch(list(values), "log", range(len(values)))
    return parse_clicks(batch, ParseOptions(**options), now_ms=NOW, pseudonyms=names)


def flat(**changes) -> bytes:
    return json.dumps(FLAT | changes).encode()


def everything(parsed: ParsedBatch) -> str:
    """All cells; dead letters as bytes and as the texts that are in them."""
    raws = [raw.decode(errors="replace") for raw in parsed.rejected["raw"].to_pylist()]
    texts = [json.loads(f'"{text}"') for raw in raws for text in re.findall(r'"((?:[^"\\]|\\.)*)"', raw)]
    tables = [parsed.clicks, parsed.too_late, parsed.rejected.drop_columns(["raw"])]
    cells = [str(cell) for table in tables for row in table.to_pylist() for cell in row.values()]
    return "\n".join([*raws, *texts, *cells])
