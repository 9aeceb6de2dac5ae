"""How a log is written, told by its first bytes, whatever its name is: packed or not, in which encoding, a record a line or otherwise."""

import codecs
import io
import lzma
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError
from clickstream.io.json_text import is_json
from clickstream.io.logs.json_values import ValueCutter
from clickstream.io.logs.table import header_of

UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    pa.ArrowException,
)  # what a file that is damaged, or may not be read, raises
_HEAD_BYTES, _LONG_HEAD_BYTES = 64 << 10, 2 << 20
_PIECE_BYTES = 1 << 20

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\0": "xz",
}
_CONTAINERS = {b"PAR1": "parquet", b"Obj\x01": "avro"}
_TABLE_NAME = re.compile(r"\.(csv|tsv)(\.(gz|gzip|zst|bz2|lz4|xz))?$", re.IGNORECASE)
_FOREIGN = {
    b"PK\x03\x04": "a zip archive: unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"\xff\x06\x00\x00sNaPpY": "packed by snappy: unpack it, or pack it as .gz, .zst, .bz2, .lz4 or .xz",
    b"ORC": "an ORC file: write it as one JSON object a line",
    b"ARROW1": "an Arrow file: write it as one JSON object a line",
    b"SQLite format 3\0": "an SQLite database: write its rows as one JSON object a line",
}
_TAR_PLACE, _TAR = 257, b"ustar"
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Without a mark: JSON's first two characters are ASCII (RFC 4627, section 3).
_ZEROS = (
    (re.compile(rb"[\x01-\x7f]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[\x01-\x7f]"), "utf-32-be"),
    (re.compile(rb"[\x01-\x7f]\0[\x01-\x7f]\0"), "utf-16-le"),
    (re.compile(rb"\0[\x01-\x7f]\0[\x01-\x7f]"), "utf-16-be"),
)
_BEFORE = b" \t\r\n\xef\xbb\xbf"


class LogForm(NamedTuple):
    """How a log is written.

    Attributes:
        packed: How it is packed; empty: it isn't.
        encoding: Of its text; empty: UTF-8.
        in_lines: Whether each record has a line. Else they are JSON values side by side, or elements of an array, or rows.
        container: `parquet`, `avro` or `table` (CSV, TSV), whose rows become records; empty: none.
        separator, names: Of a table: what stands between its cells, and its columns' names.
    """

    packed: str = ""
    encoding: str = ""
    in_lines: bool = True
    container: str = ""
    separator: str = ""
    names: tuple[str, ...] = ()

    @property
    def is_binary(self) -> bool:
        """Whether it's a container that is read whole, once: nothing is ever written behind its rows."""
        return self.container in ("parquet", "avro")

    @property
    def is_as_stored(self) -> bool:
        """Whether the stored bytes are the text's."""
        return not (self.packed or self.encoding)

    @property
    def is_plain(self) -> bool:
        """Whether, beside that, records can be found from any place in it."""
        return self.is_as_stored and self.in_lines


def form_of(path: str, container: str = "auto") -> LogForm:
    """The form of a log of any file system that Beam knows. One that can't be read has none: whoever reads it says so.

    Args:
        path: The log.
        container: `csv` or `tsv`: a table with a header; `lines`: none; `auto`: a table if its name ends so and it isn't JSON.

    Raises:
        UserError: It is of a kind that isn't read at all: which, and what to do.
    """
    form = LogForm()
    try:
        with _opened(path) as handle:
            stored = read_exactly(handle, _TAR_PLACE + len(_TAR))
        form = form._replace(packed=_found(_PACKED, stored))
        with open_text(path, form) as handle:
            head = read_exactly(handle, _HEAD_BYTES)
        if kind := _found(_CONTAINERS, head):
            return _binary(path, form, kind)
        _refuse_foreign(path, head)
        return _of_text(path, form._replace(encoding=_encoding_of(head)), container)
    except UNREADABLE:
        return form


def _found(kinds: Mapping[bytes, str], head: bytes) -> str:
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), "")


def _binary(path: str, form: LogForm, kind: str) -> LogForm:
    if form.packed:
        what = "a Parquet" if kind == "parquet" else "an Avro"
        message = f"{path} is {what} file, and packed once more: unpack it, and name the result with --input."
        raise UserError(message)
    return form._replace(in_lines=False, container=kind)


def _of_text(path: str, form: LogForm, container: str) -> LogForm:
    with open_text(path, form) as handle:
        head = read_exactly(handle, _HEAD_BYTES)
    if kind := _table_kind(path, head, container):
        separator, names = header_of(path, head, kind)
        return form._replace(in_lines=False, container="table", separator=separator, names=names)
    with open_text(path, form) as handle:
        return form._replace(in_lines=_is_in_lines(handle))


def _table_kind(path: str, head: bytes, container: str) -> str:
    if container in ("csv", "tsv"):
        return container
    named = _TABLE_NAME.search(path) if container == "auto" else None
    return named[1].lower() if named and head.lstrip(_BEFORE)[:1] not in (b"{", b"[", b"") else ""


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
        yield handle


@contextmanager
def open_text(path: str, form: LogForm) -> Iterator[Any]:
    """Opens a log, unpacks it and gives its text as UTF-8. Arrow unpacks, as it alone finds out when an archive is cut off."""
    with _opened(path) as handle:
        stream: Any = handle
        if form.packed == "xz":
            stream = lzma.LZMAFile(handle)  # noqa: SIM115 - it is the handle that is closed
        elif form.packed:
            stream = pa.input_stream(handle, compression=form.packed)
        yield _AsUtf8(stream, form.encoding) if form.encoding else stream


class _AsUtf8(io.RawIOBase):
    """A text in another encoding, read as UTF-8. What isn't of that encoding becomes U+FFFD; half a character at the end isn't there yet."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream, self._rest, self._is_first = stream, b"", True
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = bytes(self._stream.read(_PIECE_BYTES))
            if not piece:
                return 0
            text = self._decoder.decode(piece)
            self._rest = (text.removeprefix("\ufeff") if self._is_first else text).encode()
            self._is_first = self._is_first and not text
        target = memoryview(buffer).cast("B")
        given = self._rest[: len(target)]
        target[: len(given)] = given
        self._rest = self._rest[len(given) :]
        return len(given)


def read_exactly(handle: Any, count: int) -> bytes:
    """So many bytes, fewer at the end of the file only."""
    parts = []
    while count and (part := bytes(handle.read(count))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _refuse_foreign(path: str, head: bytes) -> None:
    kind = _found(_FOREIGN, head)
    if head[_TAR_PLACE:].startswith(_TAR):
        kind = "a tar archive: unpack it"
    elif any(head.startswith(magic) for magic in _PACKED):
        kind = "packed twice: unpack it once"
    if kind:
        message = f"{path} is {kind}, and name the result with --input."
        raise UserError(message)


def _encoding_of(head: bytes) -> str:
    marked = next((name for mark, name in _BOMS if head.startswith(mark)), "")
    return marked or next((name for zeros, name in _ZEROS if zeros.match(head)), "")


def _is_in_lines(handle: Any) -> bool:
    head = read_exactly(handle, _HEAD_BYTES)
    if b"\n" not in head:  # the first record may be a long one
        head += read_exactly(handle, _LONG_HEAD_BYTES)
    text = head.lstrip(_BEFORE)
    if text.startswith(b"[") and text[1:].lstrip(_BEFORE)[:1] in (b"{", b"]", b""):
        return _is_odd_line(text)
    return not (text.startswith(b"\x1e") or (text.startswith(b"{") and _goes_beside_lines(text)))


def _is_odd_line(text: bytes) -> bool:
    """Whether the array that the text begins with is a bad record: whole in its line, with objects in the next ones."""
    line, _, behind = text.partition(b"\n")
    return behind.lstrip()[:1] == b"{" and is_json(line)


def _goes_beside_lines(text: bytes) -> bool:
    """Whether the first object goes over several lines, or another one stands behind it in its line."""
    cutter = ValueCutter()
    first, *_ = (*cutter.values(text, ends=False), None)
    line = text.partition(b"\n")[0]
    if first is None:
        return cutter.is_open and b"\n" in text and line.rstrip()[-1:] in (b"{", b"[", b",")
    if b"\n" not in first.text and line[len(first.text) :].lstrip(b" \t\r,")[:1] not in (b"{", b"\x1e"):
        return False
    return is_json(first.text)
