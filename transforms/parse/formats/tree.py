"""YAML with the line of each of its parts, so that an error says where it is."""

from collections.abc import Sequence
from typing import NoReturn

import yaml

_NULLS = ("", "null", "Null", "NULL", "~")


class FormatError(ValueError):
    """A format that isn't sound: where, and what to write instead."""


class Node:
    """A part of a YAML file, and the keys that lead to it."""

    def __init__(self, node: yaml.Node, name: str, keys: tuple[str, ...] = ()) -> None:
        self._node, self._name, self._keys = node, name, keys

    def refuse(self, message: str) -> NoReturn:
        """Raises a FormatError that names file, line and key."""
        where = f", {'.'.join(self._keys)}" if self._keys else ""
        message = f"{self._name}, line {self._node.start_mark.line + 1}{where}: {message}"
        raise FormatError(message)

    @property
    def is_map(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._node, yaml.MappingNode)

    def keys(self) -> list[str]:
        """Its keys, in order."""
        if not isinstance(self._node, yaml.MappingNode):
            self.refuse("keys with values belong here")
        names = [Node(key, self._name, self._keys).text() for key, _ in self._node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            self.get(twice[0]).refuse("it's given twice")
        return names

    def check_keys(self, known: Sequence[str], needed: Sequence[str] = ()) -> None:
        """Refuses unknown keys, and that one is missing."""
        for name in self.keys():
            if name not in known:
                self.get(name).refuse(f"there is no such key; the keys are {', '.join(known)}")
        for name in needed:
            if not self.has(name):
                self.refuse(f"{name} is missing")

    def has(self, name: str) -> bool:
        """Whether a key is given."""
        return name in self.keys()

    def get(self, name: str) -> "Node":
        """What stands under a key."""
        if isinstance(self._node, yaml.MappingNode):
            for key, value in self._node.value:
                if key.value == name:
                    return Node(value, self._name, (*self._keys, name))
        return self.refuse(f"{name} is missing")

    def items(self) -> list["Node"]:
        """The parts of a list; itself, if it's none."""
        if not isinstance(self._node, yaml.SequenceNode):
            return [self]
        found = [Node(each, self._name, self._keys) for each in self._node.value]
        if not found:
            self.refuse("the list is empty")
        return found

    def text(self, *, empty: bool = False) -> str:
        """A text, or a number or boolean as it's written."""
        plain = isinstance(self._node, yaml.ScalarNode)
        value = str(self._node.value) if plain else ""
        is_null = plain and self._node.style is None and value in _NULLS
        if not plain or is_null or not (value or empty):
            self.refuse("a text belongs here")
        return value

    def one_of(self, values: Sequence[str]) -> str:
        """One of these texts."""
        found = self.text()
        if found not in values:
            self.refuse(f"{found!r} is none of {', '.join(values)}")
        return found


def read_yaml(text: str, name: str) -> Node:
    """The whole of a file.

    Raises:
        FormatError: It's no YAML, or has no keys.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        message = f"{name}{line}: {error.problem or 'it is no YAML'}"
        raise FormatError(message) from None
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{name}: it is no YAML ({type(error).__name__})"
        raise FormatError(message) from None
    if not isinstance(node, yaml.MappingNode):
        message = f"{name}: a format begins with keys, such as fields:"
        raise FormatError(message)
    return Node(node, name)
