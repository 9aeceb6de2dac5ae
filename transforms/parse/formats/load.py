"""Formats from YAML: the built-in ones beside this module, and a user's own, in the same words."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from importlib.resources import files

from clickstream.transforms.parse.formats.mapping import Condition, EventFormat, Record
from clickstream.transforms.parse.formats.sources import conditions, fields_of, paths_of, record_of
from clickstream.transforms.parse.formats.tree import FormatError, Node, read_yaml

PLAIN = "clickstream"  # what is read without any of this
_ENVELOPE_KEYS, _KEYS = ("envelope", "only"), ("fields", "only", "types", "record")
Only = tuple[Condition, ...]


def builtin_formats() -> tuple[str, ...]:
    """The names that `--event_format` knows."""
    found = (each.name for each in files(__package__).joinpath("builtin").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


@cache
def builtin_text(name: str) -> str:
    """A built-in format as it's written, to be copied.

    Raises:
        FormatError: There is none of that name.
    """
    if name not in builtin_formats():
        message = f"there is no format {name!r}: name a file, or one of {', '.join(builtin_formats())}"
        raise FormatError(message)
    return files(__package__).joinpath("builtin").joinpath(f"{name}.yaml").read_text("utf-8")


def event_format(name: str, read: Callable[[str], str] = builtin_text, *, base: str = "") -> EventFormat | None:
    """The format of this name; None for the built-in shape of clicks, which needs none but for URLs without a host.

    Args:
        name: A built-in one's, or whatever `read` takes; `debezium+NAME` is an envelope around another.
        read: Gives the YAML of a name.
        base: What stands before URLs without a host, where the format says nothing of it.

    Raises:
        FormatError: It isn't sound: what is wrong, with line and key.
    """
    if name == PLAIN and not base:
        return None
    outer, inner = _parts(name)
    tree = read_yaml(read(outer), outer)
    if tree.has("envelope"):
        found = _within(tree, outer, _format(read_yaml(read(inner or PLAIN), inner or PLAIN), inner or PLAIN))
    elif inner:
        tree.refuse("it is no envelope, so that nothing can stand in it")
    else:
        found = _format(tree, name)
    based = tuple((key, _based(key, sources, base)) for key, sources in found.fields)
    return replace(found, fields=based).with_around()


def parse_format(text: str, name: str) -> EventFormat:
    """A format of one's own, from YAML.

    Raises:
        FormatError: It isn't sound: what is wrong, with line and key.
    """
    found = event_format(name, lambda wanted: text if wanted == name else builtin_text(wanted))
    if found is None:
        message = f"{name} is the name of the built-in shape: choose another"
        raise FormatError(message)
    return found


def _parts(name: str) -> tuple[str, str]:
    """An envelope and what stands in it; a file's name may hold a plus too."""
    outer, _, inner = name.partition("+")
    return (outer, inner) if inner and outer in builtin_formats() else (name, "")


def _format(tree: Node, name: str) -> EventFormat:
    tree.check_keys(_KEYS)
    record = record_of(tree.get("record")) if tree.has("record") else Record()
    lenient = tree.has("types") and tree.get("types").one_of(("lenient", "strict")) == "lenient"
    fields = fields_of(tree.get("fields"), record)
    return EventFormat(name, fields, _only(tree), lenient, record)


def _within(tree: Node, outer: str, inner: EventFormat) -> EventFormat:
    tree.check_keys(_ENVELOPE_KEYS)
    if not inner.record.is_json:
        tree.refuse(f"{inner.name} reads lines of text, which stand in no envelope")
    return inner.within(paths_of(tree.get("envelope")), f"{outer}+{inner.name}", _only(tree))


def _only(tree: Node) -> Only:
    return conditions(tree.get("only")) if tree.has("only") else ()


def _based(key: str, sources: Iterable, base: str) -> tuple:  # type: ignore[type-arg]
    given = tuple(sources)
    return tuple(replace(each, base=each.base or base) for each in given) if base and key == "url" else given
