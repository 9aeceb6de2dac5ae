"""What rows of each kind look like, and how they become batches: pure, a column at a time."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.typehints.row_type import RowTypeConstraint

from clickstream.transforms import CLICK_SCHEMA, PAGE_METRICS_SCHEMA, RawBatch

_TYPES = {pa.string(): str, pa.int64(): int, pa.float64(): float, pa.bool_(): bool, pa.binary(): bytes}
_BASE64 = "base64:"
_ISO = "%Y-%m-%dT%H:%M:%SZ"  # of Arrow's: with milliseconds

MEASURED_SCHEMA = pa.schema(
    [
        *(CLICK_SCHEMA.field(name) for name in ("url", "country", "user_id", "timestamp")),
        pa.field("time_spent_ms", pa.int64()),  # null: not known
        pa.field("sign", pa.int64(), nullable=False),  # -1 takes back what another row had said
        pa.field("starts_session", pa.bool_()),  # null: sessions aren't told
        pa.field("bounced", pa.bool_()),
    ]
)


class Layout:
    """What rows of one kind look like, and how they become batches. One instance a kind, and one class, as Beam finds converters by class.

    Attributes:
        fields: Names and Python types of a row's fields.
    """

    fields: Sequence[tuple[str, Any]]

    @classmethod
    def row_type(cls) -> RowTypeConstraint:
        """The type of the rows, as Beam's schemas have it."""
        return RowTypeConstraint.from_fields(list(cls.fields))

    @classmethod
    def missing(cls, element_type: Any) -> list[str]:
        """The fields that another step's rows lack; all, if they aren't known to be rows."""
        found = RowTypeConstraint.from_user_type(element_type) or element_type
        names = {name for name, _ in found._fields} if isinstance(found, RowTypeConstraint) else set()
        return [name for name, _ in cls.fields if name not in names]

    @classmethod
    def rows(cls, batch: Any) -> Iterator[beam.Row]:
        """A batch's rows."""
        raise NotImplementedError

    @classmethod
    def batches(cls, rows: Sequence[Any]) -> Iterator[Any]:
        """The rows in batches, as few as can be."""
        raise NotImplementedError


class RawRows(Layout):
    """Undecoded records. What else a `RawBatch` of Kafka holds passes only between steps of ours: rows have no watermark."""

    fields = (("payload", bytes), ("source", str), ("position", int))

    @classmethod
    def rows(cls, batch: RawBatch) -> Iterator[beam.Row]:
        for payload, position in zip(batch.values, batch.positions, strict=True):
            yield beam.Row(payload=payload, source=batch.source, position=int(position))

    @classmethod
    def batches(cls, rows: Sequence[Any]) -> Iterator[RawBatch]:
        for source, own in groupby(rows, key=lambda row: row.source):
            found = list(own)
            yield RawBatch([bytes_of(row.payload) for row in found], source, [row.position for row in found])


def text_of(payload: bytes) -> str:
    """A record as text that any step can write as JSON: as it is, or, if that can't be, in base64. `bytes_of` takes it back."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return text if not text.startswith(_BASE64) else _BASE64 + b64encode(payload).decode()


def bytes_of(payload: bytes | str) -> bytes:
    """A record's bytes, from what `text_of` made of them, or as they are."""
    if isinstance(payload, bytes):
        return payload
    try:
        return (
            b64decode(payload.removeprefix(_BASE64), validate=True) if payload.startswith(_BASE64) else payload.encode()
        )
    except ValueError:  # no text of ours
        return payload.encode()


class _Table(Layout):
    """Rows of a table: times as ISO 8601 in UTC, as Beam's YAML can write no others to JSON."""

    schema: pa.Schema

    @classmethod
    def rows(cls, batch: pa.Table) -> Iterator[beam.Row]:
        columns = [cls._column(batch, field) for field in cls.schema]
        for values in zip(*columns, strict=True):
            yield beam.Row(**dict(zip(cls.schema.names, values, strict=True)))

    @classmethod
    def _column(cls, batch: pa.Table, field: pa.Field) -> list[Any]:
        if field.name not in batch.column_names:
            return [1 if field.name == "sign" else None] * batch.num_rows
        column = batch[field.name]
        return (pc.strftime(column, format=_ISO) if pa.types.is_timestamp(field.type) else column).to_pylist()

    @classmethod
    def batches(cls, rows: Sequence[Any]) -> Iterator[pa.Table]:
        columns = [pa.array([getattr(row, field.name) for row in rows], _arrow_type(field)) for field in cls.schema]
        yield pa.table(
            [column.cast(field.type) for column, field in zip(columns, cls.schema, strict=True)], schema=cls.schema
        )


class ClickRows(_Table):
    """Clicks."""

    schema = CLICK_SCHEMA


class MeasuredRows(_Table):
    """Clicks with the time spent on each, as far as aggregating needs them."""

    schema = MEASURED_SCHEMA

    @classmethod
    def batches(cls, rows: Sequence[Any]) -> Iterator[pa.Table]:
        for table in super().batches(rows):
            told = table["starts_session"].null_count < table.num_rows
            yield table if told else table.drop_columns(["starts_session", "bounced"])


class MetricRows(_Table):
    """Page metrics. The sinks take tables of one window each."""

    schema = PAGE_METRICS_SCHEMA

    @classmethod
    def batches(cls, rows: Sequence[Any]) -> Iterator[pa.Table]:
        for _, own in groupby(sorted(rows, key=_window), key=_window):
            yield from super().batches(list(own))


def _window(row: Any) -> str:
    return str(row.window_start)


def _arrow_type(field: pa.Field) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(field.type) else field.type


for _kind in (ClickRows, MeasuredRows, MetricRows):
    _kind.fields = tuple(
        (field.name, _TYPES[_arrow_type(field)] | None if field.nullable else _TYPES[_arrow_type(field)])
        for field in _kind.schema
    )
