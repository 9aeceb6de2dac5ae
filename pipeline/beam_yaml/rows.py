"""Beam's schema'd rows at the edges of YAML's steps, and our batches between them.

A step of ours gives out batches that Beam takes for many rows (its "batched DoFns"). If the next step is ours too, and runs in the same stage, the
batch passes as it is; else Beam takes it apart into rows, and together again where a step of ours reads rows. So what is wired of our steps alone
runs at the speed of columns, and any other step of YAML fits in between.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import TypeOptions
from apache_beam.typehints.batch import BatchConverter
from apache_beam.typehints.row_type import RowTypeConstraint

from clickstream.pipeline.beam_yaml.layouts import Layout
from clickstream.transforms import RawBatch


@dataclass(eq=False)
class _Converter(BatchConverter):
    """A batch of Beam's is a list of ours here: rows of several sources or windows need several."""

    layout: type[Layout]

    def __post_init__(self) -> None:
        super().__init__(self.layout, self.layout.row_type())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Converter) and other.layout is self.layout

    def __hash__(self) -> int:
        return hash(self.layout)

    def produce_batch(self, elements: Sequence[Any]) -> list[Any]:
        return list(self.layout.batches(elements))

    def explode_batch(self, batch: Iterable[Any]) -> Iterator[beam.Row]:
        return (row for part in batch for row in self.layout.rows(part))

    def combine_batches(self, batches: Iterable[list[Any]]) -> list[Any]:
        return [part for batch in batches for part in batch]

    def get_length(self, batch: Sequence[Any]) -> int:
        return sum(len(part.values) if isinstance(part, RawBatch) else part.num_rows for part in batch)

    def estimate_byte_size(self, batch: Sequence[Any]) -> int:
        return sum(0 if isinstance(part, RawBatch) else part.nbytes for part in batch)


@BatchConverter.register(name="clickstream")  # type: ignore[untyped-decorator]
def _converter(_: Any, batch_type: Any) -> _Converter:
    if not (isinstance(batch_type, type) and issubclass(batch_type, Layout)):
        message = "not a batch of clickstream's"
        raise TypeError(message)
    return _Converter(batch_type)


@dataclass(eq=False)
class ToRows(beam.PTransform):
    """Our batches, to be taken for rows.

    Raises:
        ValueError: While the graph is built: Beam is told to check types, which ends where batches pass.
    """

    layout: type[Layout]

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        _check_batches_pass(batches.pipeline)
        rows = beam.ParDo(_AsRows(self.layout))
        return batches | "AsRows" >> rows.with_output_types(self.layout.row_type())


@dataclass(eq=False)
class FromRows(beam.PTransform):
    """Rows, as batches of ours, which are of `batch_type`.

    Raises:
        ValueError: While the graph is built: the rows lack a field; or Beam is told to check types, which ends where batches pass.
    """

    layout: type[Layout]
    batch_type: Any = pa.Table

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        _check_batches_pass(rows.pipeline)
        missing = self.layout.missing(rows.element_type)
        if missing:
            message = (
                f"the rows lack {', '.join(missing)}; they need {', '.join(name for name, _ in self.layout.fields)}."
            )
            raise ValueError(message)
        batches = beam.ParDo(_AsBatches(self.layout))
        return rows | "AsBatches" >> batches.with_output_types(self.batch_type)


def _check_batches_pass(pipeline: beam.Pipeline) -> None:
    if pipeline.options.view_as(TypeOptions).runtime_type_check:
        message = "--runtime_type_check: Beam (2.77) can't check steps that batches pass between, as they do here: leave it out."
        raise ValueError(message)


class _AsRows(beam.DoFn):
    def __init__(self, layout: type[Layout]) -> None:
        self._layout = layout

    @beam.DoFn.yields_batches  # type: ignore[untyped-decorator]
    def process(self, batch: Any) -> Iterator[list[Any]]:
        yield [batch]

    def get_output_batch_type(self, _: Any) -> type[Layout]:
        return self._layout

    def infer_output_type(self, _: Any) -> RowTypeConstraint:
        return self._layout.row_type()


class _AsBatches(beam.DoFn):
    def __init__(self, layout: type[Layout]) -> None:
        self._layout = layout

    @beam.DoFn.yields_elements  # type: ignore[untyped-decorator]
    def process_batch(self, batch: list[Any]) -> Iterator[Any]:
        yield from batch

    def get_input_batch_type(self, _: Any) -> type[Layout]:
        return self._layout
