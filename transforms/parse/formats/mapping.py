"""A format of events: where in them the fields of a click stand, in which units, and which of them are clicks."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from clickstream.transforms.parse.formats.paths import Beside, Path
from clickstream.transforms.schema import Around

TEXTS = ("user_id", "url", "country", "city", "browser", "os", "device", "referrer", "row_key")
TIMES = ("timestamp", "session_end")
SECONDS = ("time_spent",)
FIELDS = (
    "user_id",
    "timestamp",
    "url",
    "country",
    "city",
    "browser",
    "os",
    "device",
    "referrer",
    "session_end",
    "time_spent",
    "row_key",
)
REQUIRED = ("user_id", "timestamp", "url")


@dataclass(frozen=True)
class Source:
    """Where a field's value may come from. It is there when all of its paths lead to something that is neither null nor empty.

    Attributes:
        parts: One path; or texts and paths that make a text together.
        unit: Of a number: `s`, `ms`, `us`, `ns`. Empty: seconds, or what the number's size says of a time.
        format: Of a time in words: `%d/%b/%Y:%H:%M:%S %z`. Empty: ISO 8601, or a number.
        zone: The time zone of times that name none. Empty: UTC.
        base: What stands before a URL without a host.
        part: Which part of the text it is: a regular expression (RE2) with one named group. Empty: all of it.
    """

    parts: tuple[Path | str, ...]
    unit: str = ""
    format: str = ""
    zone: str = ""
    base: str = ""
    part: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths among its parts."""
        return tuple(part for part in self.parts if isinstance(part, Path))

    def within(self, outer: Path) -> "Source":
        """The same in an event that stands at a path of a larger one."""
        return replace(self, parts=tuple(p.within(outer) if isinstance(p, Path) else p for p in self.parts))

    def __str__(self) -> str:
        if len(self.parts) == 1:
            return str(self.parts[0])
        return "".join(part if isinstance(part, str) else f"{{{part}}}" for part in self.parts)


Sources: TypeAlias = tuple[Source, ...]  # the first that is there


@dataclass(frozen=True)
class Condition:
    """What must hold of an event that is a click. Without a value it doesn't hold, unless `negated`.

    Attributes:
        sources: Whose value is compared.
        values: It's one of these texts, as numbers and booleans are written in JSON. None: any.
        pattern: It has a part of this form (RE2). Empty: any.
        negated: The opposite must hold.
    """

    sources: Sources
    values: tuple[str, ...] | None = None
    pattern: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Record:
    """What one record is: JSON, unless a pattern or a separator says otherwise.

    Attributes:
        pattern: A line of text: this regular expression (RE2), whose named groups are the names.
        separator: A line of texts with this between them; `names` from left to right.
        header: How a comment begins that gives the names of the lines behind it, such as `#Fields:`.
        comments: How a line begins that is no event, such as `#`.
        nulls: Texts that stand for nothing, such as `-`.
    """

    pattern: str = ""
    separator: str = ""
    names: tuple[str, ...] = ()
    header: str = ""
    comments: str = ""
    nulls: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether it's a JSON object."""
        return not self.pattern and not self.separator


@dataclass(frozen=True)
class EventFormat:
    """How clicks are read out of events of any shape: `ParseOptions(event_format=…)`.

    Attributes:
        name: What it's called.
        fields: For each field of a click where it comes from, the first that is there; those that are missing have no value.
        only: Which events are clicks: those for which all of this holds. The others are counted as `not_a_click`.
        lenient: Numbers and booleans become text where a text belongs.
        record: What a record is.
        around: What the source must hand out with each value; None: nothing.
    """

    name: str
    fields: tuple[tuple[str, Sources], ...]
    only: tuple[Condition, ...] = ()
    lenient: bool = False
    record: Record = field(default_factory=Record)
    around: Around | None = None

    def sources(self, name: str) -> Sources:
        """Where a field comes from; empty if nowhere."""
        return dict(self.fields).get(name, ())

    def paths(self) -> tuple[Path, ...]:
        """All paths, each once."""
        return tuple(dict.fromkeys(path for sources in self._all() for source in sources for path in source.paths))

    def named(self, name: str) -> str:
        """Where a field comes from, in the user's terms."""
        return ", ".join(map(str, self.sources(name)))

    def of_fields(self, names: Collection[str]) -> "EventFormat":
        """The same for no other fields than these: what leads to others isn't looked for."""
        return replace(self, fields=tuple(each for each in self.fields if each[0] in names))

    def with_around(self) -> "EventFormat":
        """The same, and it is known what of a record's surroundings it names."""
        steps = [path.steps[0] for path in self.paths() if path.is_beside]
        names = tuple(step.header for step in steps if isinstance(step, Beside))
        return replace(self, around=Around("" in names, tuple(filter(None, names))) if names else None)

    def place_of(self, path: Path) -> Path:
        """Where a path leads in what the source hands out."""
        if self.around is None:
            return path
        first = path.steps[0]
        if isinstance(first, Beside):
            return Path(("headers", first.header)) if first.header else Path(("key",))
        return Path(("value", *path.steps))

    def with_names(self, names: tuple[str, ...]) -> "EventFormat":
        """For lines of text with these values from left to right."""
        return replace(self, record=replace(self.record, names=names))

    def within(self, outer: tuple[Path, ...], name: str, only: tuple[Condition, ...]) -> "EventFormat":
        """The format of events that carry such ones at the first of these paths that is there.

        Args:
            outer: Where they may stand.
            name: What that is called.
            only: What must hold beside.
        """
        fields = tuple((field_name, _within(sources, outer)) for field_name, sources in self.fields)
        inner = tuple(replace(each, sources=_within(each.sources, outer)) for each in self.only)
        return replace(self, name=name, fields=fields, only=(*only, *inner))

    def _all(self) -> Iterator[Sources]:
        yield from (condition.sources for condition in self.only)
        yield from (sources for _, sources in self.fields)


def _within(sources: Sources, outer: tuple[Path, ...]) -> Sources:
    return tuple(source.within(path) for path in outer for source in sources)
