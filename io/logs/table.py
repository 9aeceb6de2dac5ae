"""CSV and TSV with a header: their rows as records of JSON, each cell a text (RFC 4180: quotes may hold separators, quotes and line ends)."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from clickstream.io.errors import UserError
from clickstream.io.plain_json import json_line, json_lines
from clickstream.transforms.lines import Lines
from clickstream.transforms.schema import RawBatch

_UTF8 = ("utf-8", "surrogateescape")  # what isn't UTF-8 is told when the row is written
_OPEN_END = "unexpected end of data"


class Row(NamedTuple):
    """A row: which of the lines given it goes over, its cells, and what is wrong with it."""

    first: int
    behind: int
    cells: list[str]
    fault: str = ""


def cut_rows(lines: Sequence[bytes], separator: str, *, ends: bool) -> Iterator[Row]:
    """The rows that lines make up; without what is behind the last whole one, unless they end here.

    A row that is broken, such as one whose quote isn't closed within 128 KiB, is its first line alone: the next begins behind that.
    """
    at = 0
    while at < len(lines):
        reader = csv.reader(
            (lines[number].decode(*_UTF8) + "\n" for number in range(at, len(lines))), delimiter=separator, strict=True
        )
        began = at
        try:
            for cells in reader:
                behind = began + reader.line_num
                yield Row(at, behind, cells)
                at = behind
        except csv.Error as error:
            if str(error) == _OPEN_END and not ends:
                return
            yield Row(at, at + 1, [], str(error))
            at += 1


def header_of(path: str, head: bytes, kind: str) -> tuple[str, tuple[str, ...]]:
    """The separator and the names of the columns, of a table's beginning.

    Raises:
        UserError: There is none, or two columns have one name.
    """
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    separator = "\t" if kind == "tsv" else "," if b"," in lines[0] or b";" not in lines[0] else ";"
    row = next(cut_rows(lines, separator, ends=True), Row(0, 0, []))
    names = tuple(row.cells)
    if not names or row.fault:
        message = f"{path} has no header: a table's first line names its columns ({row.fault or 'it is empty'})."
        raise UserError(message)
    if twice := [name for name in names if names.count(name) > 1]:
        message = f"{path} has two columns of the name {twice[0]!r}: rename one, so that it's clear which is meant."
        raise UserError(message)
    return separator, names


def read_table(
    batches: Iterable[RawBatch], separator: str, names: tuple[str, ...], *, headed: bool
) -> Iterator[RawBatch]:
    """Yields the rows that batches of lines make up; positions are where they start.

    Args:
        batches: The lines of one file, in order.
        separator: What stands between cells.
        names: Of the columns.
        headed: Whether the first row is the header.
    """
    lines: list[bytes] = []
    places: list[int] = []
    for batch, ends in _with_end(batches):
        lines += batch.values[:]
        places += map(int, batch.positions)
        rows = list(cut_rows(lines, separator, ends=ends))
        used = rows[-1].behind if rows else 0
        if headed and rows:
            del rows[0]
            headed = False
        if rows := [row for row in rows if row.cells or row.fault]:
            yield _batch(rows, lines, places, names, batch.source)
        lines, places = lines[used:], places[used:]


def _with_end(batches: Iterable[RawBatch]) -> Iterator[tuple[RawBatch, bool]]:
    """Each batch, and whether it's the last."""
    last = None
    for batch in batches:
        if last is not None:
            yield last, False
        last = batch
    if last is not None:
        yield last, True


def _batch(rows: list[Row], lines: list[bytes], places: list[int], names: tuple[str, ...], source: str) -> RawBatch:
    values, undecoded = _decoded(rows, lines, names)
    text = values if undecoded else Lines(b"\n".join(values) + b"\n")
    positions = np.array([places[row.first] for row in rows])
    return RawBatch(text, source, positions, undecoded=tuple(undecoded), last_stored=_stored(rows[-1], lines))


def _decoded(
    rows: list[Row], lines: list[bytes], names: tuple[str, ...]
) -> tuple[list[bytes], list[tuple[int, str, str]]]:
    """The rows' records, and which rows have none: their bytes stand there as they came."""
    if not any(row.fault or len(row.cells) != len(names) for row in rows):
        with suppress(TypeError):  # one isn't UTF-8
            return json_lines(dict(zip(names, row.cells, strict=True)) for row in rows), []
    values, undecoded = [], []
    for number, row in enumerate(rows):
        value, fault = _record(row, names)
        values.append(_stored(row, lines) if fault else value)
        undecoded += [(number, *fault)] if fault else []
    return values, undecoded


def _record(row: Row, names: tuple[str, ...]) -> tuple[bytes, tuple[str, str] | None]:
    if row.fault:
        return b"", ("invalid_line", f"the row can't be read: {row.fault}")
    if len(row.cells) != len(names):
        return b"", ("invalid_line", f"the row has {len(row.cells)} values, and the header {len(names)} names")
    try:
        return json_line(dict(zip(names, row.cells, strict=True))), None
    except TypeError:
        return b"", ("invalid_utf8", "not UTF-8")


def _stored(row: Row, lines: list[bytes]) -> bytes:
    return b"\n".join(lines[row.first : row.behind])
