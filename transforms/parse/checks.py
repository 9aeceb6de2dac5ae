"""What a decoded record must satisfy beyond its types, checked a column at a time. The first check that fails gives the reason."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.limits import LONGEST_SECONDS, MAX_TEXT_LENGTH
from clickstream.transforms.parse.columns import Column, are_given, are_none, as_array
from clickstream.transforms.parse.decode import Refusal
from clickstream.transforms.parse.times import Millis, to_epoch_ms
from clickstream.transforms.parse.urls import UrlError, UrlForm
from clickstream.transforms.schema import UTC_MS

Mask = npt.NDArray[np.bool_]


class Checks:
    """Collects, for each of `count` records, the first check that it fails."""

    def __init__(self, count: int) -> None:
        self._reason = np.zeros(count, np.int32)  # 0: none so far; n: the n-th of _found
        self._found: list[tuple[str, str]] = []

    @property
    def passed(self) -> Mask | None:
        """Which records failed nothing; None if all did well."""
        return self._reason == 0 if self._found else None

    def refuse(self, bad: Mask, reason: str, detail: str) -> None:
        """Refuses the records marked in `bad` that no earlier check refused."""
        if bad.any() and (bad := bad & (self._reason == 0)).any():
            self._found.append((reason, detail))
            self._reason[bad] = len(self._found)

    def refusals(self, kept: npt.NDArray[np.int64]) -> list[Refusal]:
        """One refusal a failed record, under its index in the batch, which `kept` maps to."""
        return [Refusal(int(kept[i]), *self._found[self._reason[i] - 1]) for i in np.flatnonzero(self._reason)]


def check_timestamps(raw: Column, checks: Checks, *, earliest: float, latest: float) -> Millis:
    """Times of the clicks in ms since the epoch; refuses what is no time, or outside `[earliest, latest]`."""
    millis, valid = to_epoch_ms(raw)
    checks.refuse(
        ~valid,
        "invalid_timestamp",
        "timestamp is no ISO 8601 time, epoch seconds or epoch milliseconds from 1970 to 2199",
    )
    checks.refuse(millis < earliest, "event_too_old", "timestamp is further back than --max_event_age allows")
    checks.refuse(millis > latest, "event_in_future", "timestamp is further ahead of now than --max_clock_skew allows")
    return millis


def check_session_ends(raw: Column, checks: Checks, start: Millis) -> pa.Array:
    """Ends of sessions where given; refuses what is no time, or lies before the click."""
    if are_none(raw):
        return pa.nulls(len(raw), UTC_MS)
    given = are_given(raw)
    end, valid = to_epoch_ms(raw)
    checks.refuse(
        given & ~valid, "invalid_session_end", "session_end is no ISO 8601 time, epoch seconds or epoch milliseconds"
    )
    checks.refuse(given & (end < start), "invalid_session_end", "session_end lies before timestamp")
    too_long = end - start > LONGEST_SECONDS * 1000
    checks.refuse(given & too_long, "invalid_session_end", "session_end lies more than 366 days after timestamp")
    return pa.array(end, mask=~(given & valid)).cast(UTC_MS)


def check_required_text(name: str, raw: Column, checks: Checks, longest: int = MAX_TEXT_LENGTH) -> pa.Array:
    """A text that must be there; refuses blank and overlong ones. White space around it is dropped, so that one country is one row."""
    texts = pc.utf8_trim_whitespace(as_array(raw, pa.string()))
    lengths = np.asarray(pc.utf8_length(texts))
    checks.refuse(lengths == 0, f"empty_{name}", f"{name} is empty or blank")
    checks.refuse(lengths > longest, "field_too_long", f"{name} is longer than {longest} characters")
    return texts


def check_urls(raw: Column, checks: Checks, form: UrlForm) -> pa.Array:
    """URLs in the form under which they are counted; refuses what is no http(s) URL."""
    texts = as_array(raw, pa.string()).dictionary_encode()
    urls = pa.array(form.all_of(texts.dictionary.to_pylist()), pa.string()).take(texts.indices)
    reasons: dict[tuple[str, str], list[int]] = {}
    for number in np.flatnonzero(np.asarray(pc.binary_length(urls)) == 0).tolist():
        reasons.setdefault(_why_refused(texts[number].as_py(), form), []).append(number)
    for (reason, detail), numbers in reasons.items():
        bad = np.zeros(len(raw), np.bool_)
        bad[numbers] = True
        checks.refuse(bad, reason, f"url {detail}")
    return urls


def _why_refused(url: str, form: UrlForm) -> tuple[str, str]:
    try:
        form.of(url)
    except UrlError as error:
        return error.reason, str(error)
    message = "a URL was refused that is none to refuse"
    raise AssertionError(message)
