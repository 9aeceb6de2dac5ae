"""The values of a JSON event with the paths that lead to them: what a format doesn't use, and what one may be suggested by."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from clickstream.transforms.parse.formats.json_values import Number
from clickstream.transforms.parse.formats.mapping import EventFormat
from clickstream.transforms.parse.formats.paths import Key, Path, Step

_KEY_NAMES = ("key", "name")
_MOST_DEEP = 12


def leaves(event: Any, steps: tuple[Step, ...] = ()) -> Iterator[tuple[Path, str]]:
    """Texts that aren't empty, numbers and booleans, in order; an array's objects by their key, if they have one."""
    if len(steps) > _MOST_DEEP:
        return
    if isinstance(event, dict):
        for name, value in event.items():
            if name:
                yield from leaves(value, (*steps, name))
    elif isinstance(event, list):
        for number, value in enumerate(event):
            yield from leaves(value, (*steps, _step(value, number)))
    elif isinstance(event, (str, Number, bool)) and steps and event != "":
        yield Path(steps), str(event)


def _step(value: Any, number: int) -> Step:
    if isinstance(value, dict):
        for name in _KEY_NAMES:
            text = value.get(name)
            if type(text) is str and text and not set(text) & set("[]'\""):
                return Key(name, text)
    return number


def unused_paths(events: Sequence[Any], event_format: EventFormat) -> list[str]:
    """The paths to values that no field and no condition of the format leads to, the most frequent first."""
    used = {event_format.place_of(path).steps for path in event_format.paths()}
    found = Counter(path for event in events for path, _ in leaves(event) if not _is_used(path, used))
    return [str(path) for path, _ in found.most_common()]


def _is_used(path: Path, used: set[tuple[Step, ...]]) -> bool:
    compared = {
        (*steps[:at], step, step.name) for steps in used for at, step in enumerate(steps) if isinstance(step, Key)
    }
    return path.steps in used or path.steps in compared
