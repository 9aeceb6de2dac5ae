"""A stateful DoFn without a runner: its state as bytes, its watermark timer, and workers that restart or fail, as a test wants it."""

import inspect
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.transforms.core import _StateDoFnParam, _TimerDoFnParam
from apache_beam.transforms.userstate import BagStateSpec, get_dofn_specs
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp


class Cell:
    """A bag, or a value that is read, written and cleared: encoded, as a runner keeps it."""

    def __init__(self, spec: Any) -> None:
        self._coder, self.kept = spec.coder, list[bytes]()
        self._is_bag = isinstance(spec, BagStateSpec)

    def read(self) -> Any:
        values = [self._coder.decode(each) for each in self.kept]
        return values if self._is_bag else next(iter(values), None)

    def add(self, value: Any) -> None:
        self.kept.append(self._coder.encode(value))

    def write(self, value: Any) -> None:
        self.kept[:] = [self._coder.encode(value)]

    def clear(self) -> None:
        self.kept.clear()


class Timer:
    """When it fires; None: not at all."""

    def __init__(self) -> None:
        self.at: Timestamp | None = None

    def set(self, at: Timestamp) -> None:
        self.at = at


class StatefulRun:
    """Runs a DoFn with one timer over elements and watermarks; `told` is called with what it gives out, and when."""

    def __init__(self, made: beam.DoFn, told: Any) -> None:
        self._pickled, self._told = pickler.dumps(made), told
        self._cells: dict[Any, dict[str, Any]] = {}
        self.restart()

    def restart(self) -> None:
        """Another worker goes on with the state."""
        self._worker = pickler.loads(self._pickled)
        self._worker._shared = Shared()  # another process has nothing in mind
        self._worker.setup()

    def send(self, elements: Iterable[tuple[Any, Any]], *, fail: bool = False) -> None:
        """Elements of a bundle, which may fail at its end."""
        self._bundle([lambda e=element: self._call(self._worker.process, e[0], e) for element in elements], fail=fail)

    def advance(self, watermark: Timestamp, *, fail: bool = False) -> None:
        """Fires timers, the earliest first, each in a bundle of its own; the first may fail, and is then fired again."""
        while due := sorted((t.at, k) for k, c in self._cells.items() if (t := c["timer"]).at and t.at <= watermark):
            at, key = due[0]
            self._bundle([lambda key=key, at=at: self._fire(key, at)], fail=fail)
            fail = False

    def end(self) -> None:
        """The watermark passes all."""
        self.advance(MAX_TIMESTAMP)

    def cell(self, key: Any, name: str) -> Cell:
        return self._of(key)[name]

    def _fire(self, key: Any, at: Timestamp) -> list[Any]:
        self._of(key)["timer"].at = None
        [timer] = get_dofn_specs(self._worker)[1]
        fire = timer._attached_callback
        return [(at, each) for each in self._call(fire.__get__(self._worker), key)]

    def _bundle(self, steps: list[Any], *, fail: bool) -> None:
        before = {key: {name: _copy(cell) for name, cell in cells.items()} for key, cells in self._cells.items()}
        given_out = [each for step in steps for each in step() or ()]
        if fail:
            for key in list(self._cells):
                if key not in before:
                    del self._cells[key]
                    continue
                for name in list(self._cells[key]):
                    if name in before[key]:
                        _restore(self._cells[key][name], before[key][name])
                    else:
                        del self._cells[key][name]
            return
        for each in given_out:
            self._told(*each)

    def _of(self, key: Any) -> dict[str, Any]:
        return self._cells.setdefault(key, {"timer": Timer()})

    def _call(self, method: Any, key: Any, *elements: Any) -> Any:
        given: dict[str, Any] = {}
        for name, parameter in inspect.signature(method).parameters.items():
            if isinstance(parameter.default, _StateDoFnParam):
                spec = parameter.default.state_spec
                given[name] = self._of(key).setdefault(spec.name, Cell(spec))
            elif isinstance(parameter.default, _TimerDoFnParam):
                given[name] = self._of(key)["timer"]
            elif parameter.default is beam.DoFn.KeyParam:
                given[name] = key
        return list(method(*elements, **given) or ())


def _copy(cell: Any) -> Any:
    return cell.at if isinstance(cell, Timer) else list(cell.kept)


def _restore(cell: Any, before: Any) -> None:
    if isinstance(cell, Timer):
        cell.at = before
    else:
        cell.kept = before
