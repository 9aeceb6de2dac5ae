"""Which rows a question is about, and how they are read from any store: in pages, only the columns that are needed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from clickstream.transforms.schema import kind_of

FIRST_PAGE_ROWS = 200
_FEWEST_ROWS, _MOST_ROWS = 20, 5_000
_PAGE_BYTES = 8 << 20


class RowFilter(NamedTuple):
    """Rows whose window starts in [start, end), of a page and a country; None: of any.

    Attributes:
        url: Exactly as stored.
        country: Exactly as stored.
        start: Whole seconds, in UTC.
        end: Whole seconds, in UTC.
    """

    url: str | None = None
    country: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def page_schema(columns: Sequence[str]) -> pa.Schema:
    """These columns of PAGE_METRICS_SCHEMA, or of BREAKDOWN_SCHEMA, in this order."""
    schema = kind_of(columns).schema
    return pa.schema([schema.field(name) for name in columns])


def next_page_rows(page: pa.Table) -> int:
    """How many rows the page behind this one should have, by its size: rows hold sketches of bytes to a megabyte."""
    fitting = page.num_rows * _PAGE_BYTES // max(page.nbytes, 1)
    return min(max(fitting, _FEWEST_ROWS), _MOST_ROWS)
