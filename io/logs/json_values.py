"""JSON values that haven't a line each, in arrays or side by side, cut out of a text that comes in pieces."""

import re
from typing import NamedTuple

LONGEST_RECORD, KEPT_BYTES = 16 << 20, (1 << 20) + 1  # of a longer record so much is kept: more than one may have

# No text of JSON holds a line end, and behind it comes one of four marks: where a text breaks off, it is found there, not at the file's end.
_TEXT = rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"(?=\s*[,:}\]])'
# Objects are taken at one go where nothing is in them but texts, numbers and such objects: most records.
_LEAF = rb'\{[^][{}"]*(?:' + _TEXT + rb'[^][{}"]*){0,100}\}'
_OBJECT = rb'\{[^][{}"]*(?:(?:' + _TEXT + rb"|(?<=:)" + _LEAF + rb"|(?<=: )" + _LEAF + rb')[^][{}"]*){0,100}\}'
_TOKEN = re.compile(_OBJECT + b"|" + _TEXT + rb'|[][{}"]')
_UNFINISHED = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*(?:\\?\Z|"\s*\Z)')
_BEHIND = b" \t\r\n,\x1e"  # of a value; RFC 7464 has a mark of its own
_BETWEEN = _BEHIND + b"[]\xef\xbb\xbf"  # two values: a BOM too
_OPENS = {b"}": b"{", b"]": b"["}
_NEAR = 64


class Value(NamedTuple):
    """A value's bytes, and the byte of the text at which it starts. Of one of more than 16 MiB only the first MiB and a byte."""

    start: int
    text: bytes


class _BrokenError(Exception):
    """What was read since the value's start can't be JSON, however it goes on."""


class ValueCutter:
    """Cuts the values out, wherever the pieces end: objects side by side or elements of arrays, in one line or over several.

    What stands between two values, and is more than white space, commas and an array's brackets, is a value too, if a bad one. One that can't be
    JSON ends where the next begins: on a line that is indented as it is, or behind a closing bracket.

    Args:
        start: The first piece's place in the text.
    """

    def __init__(self, start: int = 0) -> None:
        self._text, self._at = b"", start  # what hasn't been given away yet, and its place
        self._begun = self._scanned = (
            0  # places in it: where the value begins, or what stands before one; and how far it's known
        )
        self._opened: list[bytes] = []  # brackets that are open; none: between two values
        self._in_array = self._is_lost = self._is_too_long = False
        self._indent: bytes | None = None

    @property
    def is_open(self) -> bool:
        """Whether a value has begun that may be a good one."""
        return bool(self._opened) and not self._is_lost

    def values(self, piece: bytes, *, ends: bool) -> list[Value]:
        """The values that end in this piece. `ends`: it is the last, and what was begun is given as it is."""
        self._text += piece
        self._found: list[Value] = []
        while True:
            if self._is_lost:
                self._find_again()
            if self._is_lost:
                break
            try:
                self._scan()
                break
            except _BrokenError:
                self._is_lost = True
        if ends:
            self._give(len(self._text))
        elif len(self._text) - self._begun > LONGEST_RECORD:
            self._pass_over()
        self._text, self._at = self._text[self._begun :], self._at + self._begun
        self._scanned, self._begun = max(self._scanned - self._begun, 0), 0
        return self._found

    def _scan(self) -> None:
        for token in _TOKEN.finditer(self._text, self._scanned):
            self._scanned, end = token.span()
            first, is_single = token[0][:1], end - self._scanned == 1
            if first == b'"':
                if is_single and self._breaks_off():
                    return
            elif first in _OPENS:
                self._close(first, end)
            else:
                self._open(first)
                if not is_single:
                    self._close(b"}", end)
            self._scanned = end
        self._scanned = len(self._text)

    def _breaks_off(self) -> bool:
        """Whether the text that a quote begins goes on in the next piece."""
        if _UNFINISHED.match(self._text, self._scanned):
            return True
        if self._opened:
            raise _BrokenError
        return False

    def _open(self, bracket: bytes) -> None:
        if self._opened:
            self._check_before(self._opened[-1])
        elif bracket == b"[" and not self._in_array:
            self._in_array = True
            return
        else:
            between = self._text[self._begun : self._scanned]
            line = between[between.rfind(b"\n") + 1 :]
            self._indent = None if line.strip(b" \t") else line
            self._give(self._scanned)
        self._opened.append(bracket)

    def _check_before(self, around: bytes) -> None:
        """A bracket within a value stands behind a name's colon, or is an array's element: else the one before wasn't closed."""
        before = self._text[max(self._begun, self._scanned - _NEAR) : self._scanned].rstrip()[-1:]
        if before and before not in (b":" if around == b"{" else b"[,"):
            raise _BrokenError

    def _close(self, bracket: bytes, end: int) -> None:
        if not self._opened:
            self._in_array = self._in_array and bracket != b"]"
            return
        if self._opened[-1] != _OPENS[bracket]:
            raise _BrokenError
        if len(self._opened) == 1:
            self._give(end)
        self._opened.pop()

    def _give(self, end: int) -> None:
        """What was begun, up to there."""
        stretch = self._text[self._begun : end]
        bare = stretch.rstrip(_BEHIND) if self._opened else stretch.strip(_BETWEEN)
        if bare and not self._is_too_long:
            start = self._at + self._begun + stretch.index(bare[:1])
            self._found.append(Value(start, bare if len(bare) <= LONGEST_RECORD else bare[:KEPT_BYTES]))
        self._begun, self._is_too_long = end, False

    def _find_again(self) -> None:
        """Goes on with the next value behind one that is broken, if it's there."""
        indented = b"" if self._indent is None else rb"\n" + re.escape(self._indent) + rb"(?=\{)|"
        if found := re.compile(indented + rb"\}[ \t,\x1e]*(?=\{)").search(self._text, self._begun + 1):
            self._give(found.end())
            self._scanned, self._opened, self._is_lost = self._begun, [], False

    def _pass_over(self) -> None:
        """Keeps the beginning of a value that is too long, and not the rest of it."""
        if not self._is_too_long:
            if not self._opened:
                self._begun = len(self._text) - len(self._text[self._begun :].lstrip(_BETWEEN))
                if len(self._text) - self._begun <= LONGEST_RECORD:
                    return
            self._found.append(Value(self._at + self._begun, self._text[self._begun : self._begun + KEPT_BYTES]))
        self._is_too_long = True
        self._is_lost = self._is_lost or self._begun >= self._scanned - _NEAR  # in one endless text
        end = len(self._text) if self._is_lost else self._scanned
        self._begun, self._scanned = end - _NEAR, end
