"""`RestateRows`: computed rows and published ones to those that must be written, and to what they change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms.window import GlobalWindows

from clickstream.transforms.outputs import named_outputs
from clickstream.transforms.restate.changes import WindowChange, restate
from clickstream.transforms.schema import PAGES, RowKind

_COMPUTED = ""
_KEYED = tuple[int, tuple[str, pa.Table]]


@dataclass(eq=False)
class RestateRows(beam.PTransform):
    """Computed rows against what is published, window by window.

    In: `{"computed": …, "published": {store: …}}`, tables of their kind's schema, bounded, any windows in a table. Out, by name: `rows`, tables
    of the rows that bring every store to what was computed, one window each; and `changes` (`WindowChange`), one a window and store that
    differ.

    Attributes:
        fewer: See `restate`; by the window's start in ms since the epoch; 0 for others.
        keep_fuller: Whether a window of which more is published is left as it is.
        kind: Of the rows.
    """

    fewer: Mapping[int, int] = field(default_factory=dict)
    keep_fuller: bool = True
    kind: RowKind = PAGES

    def __ror__(self, inputs: Any, label: str | None = None) -> Any:
        # Beam takes a dict of PCollections, not one within it.
        published = {f"published:{name}": rows for name, rows in inputs["published"].items()}
        return super().__ror__({"computed": inputs["computed"], **published}, label)

    def expand(self, inputs: Any) -> Any:
        names = {label: label.partition(":")[2] for label in inputs}
        by_window = [
            rows
            | f"AtAnyTime{name}" >> beam.WindowInto(GlobalWindows())
            | f"ByWindow{name}" >> beam.FlatMap(_by_window, name).with_output_types(_KEYED)
            for label, rows in inputs.items()
            for name in [names[label]]
        ]
        stores = [name for name in names.values() if name != _COMPUTED]
        compare = _Restate(stores, self.fewer, self.kind, keep_fuller=self.keep_fuller)
        windows = tuple(by_window) | "All" >> beam.Flatten() | "Windows" >> beam.GroupByKey()
        return named_outputs(windows, "Restate", compare, rows=pa.Table, changes=WindowChange)


def _by_window(rows: pa.Table, name: str) -> Iterator[tuple[int, tuple[str, pa.Table]]]:
    for start in rows["window_start"].unique():
        yield start.value, (name, rows.filter(pc.equal(rows["window_start"], start)))


class _Restate(beam.DoFn):
    def __init__(self, stores: list[str], fewer: Mapping[int, int], kind: RowKind, *, keep_fuller: bool) -> None:
        self._stores, self._fewer, self._kind = stores, fewer, kind
        self._default = 0 if keep_fuller else 1 << 62

    def process(self, window: tuple[int, Iterable[tuple[str, pa.Table]]]) -> Iterator[Any]:
        schema = self._kind.schema
        tables: dict[str, list[pa.Table]] = {name: [] for name in (_COMPUTED, *self._stores)}
        for name, rows in window[1]:
            tables[name].append(rows.select(schema.names))
        merged = {name: pa.concat_tables([schema.empty_table(), *parts]) for name, parts in tables.items()}
        fewer = self._fewer.get(window[0], self._default)
        restated = restate(merged.pop(_COMPUTED), merged, fewer=fewer, kind=self._kind)
        if restated.rows.num_rows:
            yield restated.rows
        for change in restated.changes:
            yield beam.pvalue.TaggedOutput("changes", change)
