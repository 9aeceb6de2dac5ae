"""A step of Beam YAML's, and what it refuses, in YAML's own form.

`error_handling: {output: NAME}` names an output of error rows. Without it the first refusal ends the job, as with Beam's own steps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.typehints.row_type import RowTypeConstraint

from clickstream.io.errors import UserError
from clickstream.pipeline.beam_yaml.layouts import RawRows, text_of

Expand = Callable[[Any], Any]
ErrorHandling = dict[str, str]
# As Beam's own errors are, so that StripErrorMetadata finds the record; `reason` is what they lack.
_RECORD = RowTypeConstraint.from_fields([("payload", str), *RawRows.fields[1:]])
ERROR_TYPE = RowTypeConstraint.from_fields([("element", _RECORD), ("msg", str), ("reason", str)])


def output_of(error_handling: ErrorHandling | None) -> str | None:
    """The name of the error output, if one is wished for.

    Raises:
        ValueError: Something else is said than an output.
    """
    if error_handling is None:
        return None
    if set(error_handling) != {"output"} or error_handling["output"] == "good":
        message = f"error_handling is {dict(error_handling)}: write {{output: NAME}}, with another name than good."
        raise ValueError(message)
    return error_handling["output"]


class Step(beam.PTransform):
    """A step by its `expand` alone."""

    def __init__(self, name: str, expand: Expand) -> None:
        super().__init__(label=name)
        self._expand = expand

    def expand(self, inputs: Any) -> Any:
        return self._expand(inputs)


def with_errors(name: str, do: Expand, good: Expand | None, error_handling: ErrorHandling | None) -> beam.PTransform:
    """A step whose work gives `.rejected` too: the outputs by name if errors are wished for, else the good ones alone."""
    output = output_of(error_handling)

    def expand(rows: beam.PCollection) -> Any:
        done = do(rows)
        errors = done.rejected | ToErrors(name, wanted=output is not None)
        outputs = {"good": good(done)} if good else {}
        if output is not None:
            return outputs | {output: errors}
        return outputs.get("good", beam.pvalue.PDone(rows.pipeline))

    return Step(name, expand)


class ToErrors(beam.PTransform):
    """Tables of rejected records to error rows, if `wanted`; else each of them is an error of the job."""

    def __init__(self, step: str, *, wanted: bool) -> None:
        super().__init__()
        self._step, self._wanted = step, wanted

    def expand(self, rejected: beam.PCollection) -> beam.PCollection:
        if self._wanted:
            return rejected | "Errors" >> beam.FlatMap(error_rows).with_output_types(ERROR_TYPE)
        return rejected | "Fail" >> beam.FlatMap(_fail, self._step).with_output_types(ERROR_TYPE)


def error_rows(rejected: pa.Table) -> Iterator[beam.Row]:
    """A table of REJECTED_SCHEMA as rows of ERROR_TYPE."""
    for row in rejected.to_pylist():
        element = beam.Row(payload=text_of(row["raw"]), source=row["source"], position=row["position"])
        yield beam.Row(element=element, msg=f"{row['reason']}: {row['detail']}", reason=row["reason"])


def _fail(rejected: pa.Table, step: str) -> Iterator[Any]:
    reasons = ", ".join(sorted(set(rejected["reason"].to_pylist())))
    message = f"{step} refuses {rejected.num_rows} records ({reasons}): to go on without them, give it error_handling: {{output: NAME}}."
    raise UserError(message)
