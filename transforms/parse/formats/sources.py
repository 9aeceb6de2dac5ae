"""The parts of a format: fields with their sources, conditions, and what a record is."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.parse.formats.clock import check_zone, regex_of
from clickstream.transforms.parse.formats.mapping import (
    FIELDS,
    REQUIRED,
    SECONDS,
    TIMES,
    Condition,
    Record,
    Source,
    Sources,
)
from clickstream.transforms.parse.formats.paths import Beside, Path
from clickstream.transforms.parse.formats.tree import Node

_UNITS = ("s", "ms", "us", "ns")
_PART = re.compile(r"{([^{}]*)}")
_PLACES = ("path", "header", "key")
_TESTS = ("is", "is_not", "matches", "matches_not")
_SEPARATORS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def fields_of(node: Node, record: Record) -> tuple[tuple[str, Sources], ...]:
    """The fields of a click with their sources."""
    node.check_keys(FIELDS, REQUIRED)
    found = tuple((name, sources_of(node.get(name), name)) for name in node.keys())  # noqa: SIM118 (no dict)
    if not record.is_json:
        for name, sources in found:
            for path in (path for source in sources for path in source.paths):
                if len(path.steps) > 1 or not (record.header or path.steps[0] in record.names):
                    node.get(name).refuse(f"{path} is none of the record's names: {', '.join(record.names)}")
    return found


def sources_of(node: Node, name: str) -> Sources:
    """The sources of a field: a path, a text with paths in braces, keys, or a list of such."""
    return tuple(_source(each, name) for each in node.items())


def conditions(node: Node) -> tuple[Condition, ...]:
    """What must hold of a click, all of it."""
    return tuple(_condition(each) for each in node.items())


def paths_of(node: Node) -> tuple[Path, ...]:
    """A path, or a list of paths."""
    return tuple(_checked(each, Path.parse) for each in node.items())


def record_of(node: Node) -> Record:
    """What a record is: `json`, or keys."""
    if not node.is_map:
        node.one_of(("json",))
        return Record()
    node.check_keys(("pattern", "separator", "names", "header", "comments", "nulls"))
    nulls = tuple(each.text(empty=True) for each in node.get("nulls").items()) if node.has("nulls") else ()
    comments = node.get("comments").text() if node.has("comments") else ""
    if node.has("pattern"):
        for name in ("separator", "names", "header"):
            if node.has(name):
                node.get(name).refuse("it goes with a separator, and there is a pattern")
        pattern = _checked(node.get("pattern"), _groups)
        return Record(pattern, names=_group_names(pattern), comments=comments, nulls=nulls)
    separator = node.get("separator").text()
    names = tuple(each.text() for each in node.get("names").items())
    header = node.get("header").text() if node.has("header") else ""
    return Record("", _SEPARATORS.get(separator, separator), names, header, comments, nulls)


def _source(node: Node, name: str) -> Source:
    if not node.is_map:
        return Source(_parts(node, name))
    node.check_keys((*_PLACES, "part", *_keys_for(name)))
    place = _place(node)
    return Source(
        _parts(place, name) if node.has("path") else (_beside(node),),
        unit=node.get("unit").one_of(_UNITS) if node.has("unit") else "",
        format=_with(node, "format", regex_of),
        zone=_with(node, "zone", check_zone),
        base=_with(node, "base", _check_base),
        part=_with(node, "part", _check_part),
    )


def _place(node: Node) -> Node:
    given = [name for name in _PLACES if node.has(name)]
    if len(given) != 1:
        node.refuse("path is missing" if not given else f"{' and '.join(given)} are two places: give one")
    return node.get(given[0])


def _beside(node: Node) -> Path:
    if node.has("header"):
        return Path((Beside(node.get("header").text()),))
    node.get("key").one_of(("true",))
    return Path((Beside(""),))


def _keys_for(name: str) -> tuple[str, ...]:
    if name in TIMES:
        return ("unit", "format", "zone")
    return ("unit",) if name in SECONDS else ("base",) if name == "url" else ()


def _parts(node: Node, name: str) -> tuple[Path | str, ...]:
    text = node.text()
    if "{" not in text:
        return (_checked(node, Path.parse),)
    if name in SECONDS:
        node.refuse("a number is put together of nothing: give its path")
    pieces = _PART.split(text)
    if any(brace in piece for piece in pieces[::2] for brace in "{}"):
        node.refuse("each { takes one path and a }")
    read = [Path.parse if number % 2 else str for number in range(len(pieces))]
    parts = (_checked(node, lambda _, p=piece, r=reader: r(p)) for piece, reader in zip(pieces, read, strict=True))  # type: ignore[misc]
    return tuple(part for part in parts if part != "")


def _condition(node: Node) -> Condition:
    node.check_keys((*_PLACES, *_TESTS))
    place = _place(node)
    given = [name for name in _TESTS if node.has(name)]
    if len(given) != 1:
        node.refuse(f"one of {', '.join(_TESTS)} belongs beside the path")
    paths = paths_of(place) if node.has("path") else (_beside(node),)
    sources = tuple(Source((path,)) for path in paths)
    test, negated = node.get(given[0]), given[0].endswith("_not")
    if given[0].startswith("is"):
        return Condition(sources, tuple(each.text() for each in test.items()), negated=negated)
    return Condition(sources, pattern=_checked(test, _pattern), negated=negated)


def _with(node: Node, key: str, check: Callable[[str], object]) -> str:
    if not node.has(key):
        return ""
    _checked(node.get(key), check)
    return node.get(key).text()


def _checked(node: Node, read: Callable[[str], "object"]):  # type: ignore[no-untyped-def]  # noqa: ANN202
    try:
        return read(node.text())
    except ValueError as error:
        node.refuse(str(error))


def _pattern(text: str) -> str:
    try:
        pc.match_substring_regex(pa.array([""]), text)
    except pa.ArrowInvalid as error:
        message = f"it's no regular expression of RE2: {str(error).splitlines()[0]}"
        raise ValueError(message) from None
    return text


def _groups(text: str) -> str:
    try:
        pc.extract_regex(pa.array([""]), _pattern(text))
    except pa.ArrowInvalid as error:
        message = f"each group needs a name, (?P<name>…), or to be none, (?:…): {str(error).splitlines()[0]}"
        raise ValueError(message) from None
    return text


def _group_names(pattern: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\(\?P?<([A-Za-z_]\w*)>", pattern))


def _check_part(text: str) -> None:
    _pattern(text)
    if len(_group_names(text)) != 1 or re.search(r"(?<!\\)\((?!\?)", text):
        message = "a part is a regular expression with one group, which has a name, such as ^GET (?P<target>[^ ]+)"
        raise ValueError(message)


def _check_base(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        message = f"{text!r} is no base of URLs: write such as https://shop.example"
        raise ValueError(message)
