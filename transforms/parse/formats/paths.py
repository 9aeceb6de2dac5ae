"""Where a value stands in an event: `page.path`, `items[0].x`, `event_params[key=ga_session_id].value.int_value`, `["a.b"].c`."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from clickstream.transforms.parse.formats.json_values import Number, text_of


class Key(NamedTuple):
    """The first object of an array that has this text (or number, as it's written) under this name."""

    name: str
    value: str


class Beside(NamedTuple):
    """What Kafka carries beside the value: the header of this name, the last if there are several; with an empty name, the record's key."""

    header: str


Step: TypeAlias = str | int | Key | Beside

_QUOTED = r"'[^']*'|\"[^\"]*\""
_STEP = re.compile(
    rf"""
    (?P<name>[^.\[\]"'=]+)
    | \[ (?P<quoted>{_QUOTED}) \]
    | \[ (?P<index>-?[0-9]{{1,9}}) \]
    | \[ (?P<key>[^\[\]"'=]+) = (?P<value>{_QUOTED}|[^\[\]"']+) \]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Path:
    """A way from the event down to one of its values.

    Attributes:
        steps: A name in an object, a place in an array (from 0; -1 is the last), or which object of an array.
    """

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> "Path":
        """Reads a path.

        Raises:
            ValueError: It's none; the text says where it stops being one.
        """
        steps: list[Step] = []
        at = 0
        while at < len(text) or not steps:
            found = _STEP.match(text, at)
            if found is None:
                message = f'{text!r} is no path from character {at + 1} on: write page.path, items[0].x, params[key=page].value or ["a.b"]'
                raise ValueError(message)
            steps.append(_step(found))
            at = found.end()
            if at < len(text) and text[at] == ".":
                at += 1
                if at == len(text) or text[at] in ".[":
                    message = f"{text!r} is no path: a name is missing behind the dot at character {at}"
                    raise ValueError(message)
            elif at < len(text) and text[at] != "[":
                message = f"{text!r} is no path from character {at + 1} on: names are joined by dots"
                raise ValueError(message)
        return cls(tuple(steps))

    @property
    def is_beside(self) -> bool:
        """Whether it leads to what Kafka carries beside the value."""
        return isinstance(self.steps[0], Beside)

    def within(self, outer: "Path") -> "Path":
        """The same below another; what stands beside the value stays there."""
        return self if self.is_beside else Path((*outer.steps, *self.steps))

    def __str__(self) -> str:
        written = "".join(map(_written, self.steps))
        return written.removeprefix(".")

    def find(self, tree: Any) -> Any:
        """The value there in a decoded event; None where there is none."""
        for step in self.steps:
            tree = follow(tree, step)
            if tree is None:
                return None
        return tree


def follow(tree: Any, step: Step) -> Any:
    """The value one step further down; None where there is none."""
    if type(step) is str:
        return tree.get(step) if type(tree) is dict else None
    if type(tree) is not list:
        return None
    if type(step) is int:
        return tree[step] if -len(tree) <= step < len(tree) else None
    return next((each for each in tree if type(each) is dict and _is(each, step)), None)


def _is(tree: dict[str, Any], key: Any) -> bool:
    value = tree.get(key.name)
    return type(value) in (str, Number) and text_of(value) == key.value


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return found["name"]
    if found["quoted"] is not None:
        return found["quoted"][1:-1]
    if found["index"] is not None:
        return int(found["index"])
    value = found["value"]
    return Key(found["key"], value[1:-1] if value[0] in "'\"" else value)


def _written(step: Step) -> str:
    if isinstance(step, Beside):
        return f"{{header: {step.header}}}" if step.header else "{key: true}"
    if isinstance(step, Key):
        plain = re.fullmatch(r"[^\[\]\"']+", step.value)
        return f"[{step.name}={step.value if plain else _quoted(step.value)}]"
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[^.\[\]\"'=]+", step) else f"[{_quoted(step)}]"


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'
