"""A sample's clicks as JSON: rows of numbers become records, nested or flat, the broken ones broken."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.sample.options import SampleOptions
from clickstream.io.sample.tables import AGENTS, BROKEN_KINDS, CATEGORIES, DRESSES, PLACES, THINGS
from clickstream.io.sample.visits import LONGEST_DWELL, Rows


class Texts:
    """Writes rows as JSON, column by column: every piece of text is made once and then only copied."""

    def __init__(self, options: SampleOptions, *, first_key: int) -> None:
        draw = np.random.default_rng([options.seed, 1])
        self._next_key = first_key
        self._flat = options.flat
        shares, places = _weighted(_cities(PLACES[: options.countries]))
        self._place_of = draw.choice(len(shares), options.users, p=shares).astype(np.int16)
        self._places = _json_fields("country city", places)
        shares, agents = _weighted(AGENTS)
        self._agent_of = draw.choice(len(shares), options.users, p=shares).astype(np.int16)
        self._agents = _json_fields("browser os device", agents)
        paths = [_path(page) for page in range(options.pages)]
        self._paths, self._has_query = pa.array(paths), np.array(["?" in path for path in paths])
        hosts, extras = zip(*(dress.split("|")[2:] for dress in DRESSES), strict=True)
        self._hosts = pa.array(hosts)
        self._endings = pa.array([_ending(extra, mark) for mark in "?&" for extra in extras])
        spent = (f',"time_spent":{tenths / 10}' for tenths in range(1, int(LONGEST_DWELL * 10) + 1))
        self._spent = pa.array(["", *spent])

    def records(self, rows: Rows) -> list[bytes]:
        """One JSON record a row, the broken ones broken."""
        geo, agent, end = (",", ",", "}\n") if self._flat else ('},"geo_data":{', '},"user_agent_data":{', "}}\n")
        text = pc.binary_join_element_wise(
            '{"row_key":"',
            self._keys(len(rows)),
            '",' if self._flat else '","click_data":{',
            '"user_id":"user-',
            pa.array(rows["user"]).cast(pa.string()),
            '","timestamp":"',
            _iso(rows["time"]),
            '","url":"',
            self._hosts.take(pa.array(rows["dress"])),
            self._paths.take(pa.array(rows["page"])),
            self._endings.take(pa.array(rows["dress"] + len(DRESSES) * self._has_query[rows["page"]])),
            '"',
            self._spent.take(pa.array(rows["spent"])),
            _session_ends(rows),
            geo,
            self._places.take(pa.array(self._place_of[rows["user"]])),
            agent,
            self._agents.take(pa.array(self._agent_of[rows["user"]])),
            end,
            "",
        )
        records = _lines(text)
        kinds = list(BROKEN_KINDS.values())
        for index in np.flatnonzero(rows["broken"] >= 0):
            records[index] = kinds[rows["broken"][index]](records[index])
        return records

    def _keys(self, count: int) -> pa.Array:
        """The next keys: 16 hexadecimal digits, no two alike, in no visible order."""
        numbers = np.arange(count, dtype=np.uint64) + np.uint64(self._next_key % 2**64)
        self._next_key += count
        # Each step can be undone, so that different numbers stay different.
        mixed = (numbers ^ numbers >> np.uint64(29)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        digits = mixed.astype(">u8").tobytes().hex().encode()
        offsets = np.arange(0, 16 * count + 1, 16, dtype=np.int32)
        return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(digits))


def _weighted(table: list[str]) -> tuple[Rows, list[list[str]]]:
    """Shares and texts of lines that begin with a weight."""
    weights, texts = zip(*((float(weight), rest) for weight, *rest in (line.split("|") for line in table)), strict=True)
    return np.array(weights) / sum(weights), list(texts)


def _cities(places: list[str]) -> list[str]:
    """A line for each city; a country's first city is its largest."""
    lines = [line.split("|") for line in places]
    return [f"{float(weight) / n}|{name}|{city}" for weight, name, *cities in lines for n, city in enumerate(cities, 1)]


def _json_fields(names: str, texts: list[list[str]]) -> pa.Array:
    """`"name":"value",…` without braces, for each list of values."""
    pairs = [dict(zip(names.split(), values, strict=True)) for values in texts]
    return pa.array([json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1] for fields in pairs])


def _path(page: int) -> str:
    thing, category = THINGS[page % len(THINGS)], CATEGORIES[page // 10 % len(CATEGORIES)]
    if page == 0:
        return "/"
    if page % 10 < 6:
        return f"/products/{category}/{thing}-{page}"
    if page % 10 < 8:
        return f"/blog/2025/{page % 12 + 1:02d}/{thing}-{category}-{page}"
    return f"/search?q={thing}+{category}&page={page}" if page % 2 else f"/help/{category}/article-{page}"


def _ending(extra: str, mark: str) -> str:
    """What a dress appends to a path whose parameters, if any, are continued by `mark`."""
    return extra if not extra or extra.startswith("#") else mark + extra


def _iso(millis: Rows) -> pa.Array:
    """`2025-06-02T12:34:56.789Z`."""
    texts = pa.array(millis).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def _session_ends(rows: Rows) -> pa.Array:
    """`,"session_end":"…"` where the row has one."""
    has = rows["ends"] > 0
    ends = pc.binary_join_element_wise(',"session_end":"', _iso(rows["time"][has] + rows["ends"][has]), '"', "")
    return pa.concat_arrays([pa.array([""]), ends]).take(pa.array(np.where(has, np.cumsum(has), 0)))


def _lines(text: pa.Array) -> list[bytes]:
    """The texts, each of which ends in its only newline, without it."""
    end = text.offset + len(text)
    _, offsets, data = text.buffers()
    size = int(np.frombuffer(offsets, np.int32)[end])
    return bytes(data.slice(0, size)).split(b"\n")[:-1]
