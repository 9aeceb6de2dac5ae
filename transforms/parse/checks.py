"""What a decoded record must satisfy beyond its types, checked a column at a time. The first check that fails gives the reason."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Int64s, Mask, Millis
from clickstream.transforms.countries import UNKNOWN
from clickstream.transforms.limits import LONGEST_SECONDS, MAX_COUNTRY_LENGTH, MAX_TEXT_LENGTH
from clickstream.transforms.parse.arrivals import arrivals
from clickstream.transforms.parse.country_names import by_iso_name
from clickstream.transforms.parse.reader import Column, Decoded, Refusal
from clickstream.transforms.parse.times import to_epoch_ms
from clickstream.transforms.parse.urls import UrlError, UrlForm
from clickstream.transforms.schema import ARRIVAL_SCHEMA, CLICK_SCHEMA, UTC_MS


class Bounds(NamedTuple):
    """The times, ms since the epoch, within which clicks must lie."""

    earliest: float
    latest: float


class Countries(NamedTuple):
    """What becomes of countries: whether a click must have one, and whether they are counted by their names of ISO 3166."""

    is_required: bool = False
    by_iso_name: bool = False


class Checked(NamedTuple):
    """The clicks (CLICK_SCHEMA's chosen columns), each one's number in its batch, and the others; how often something was mended, by what."""

    clicks: pa.Table
    kept: Int64s
    refused: list[Refusal]
    mended: Counter[str]


def check_clicks(
    decoded: Decoded, names: Sequence[str], bounds: Bounds, form: UrlForm, countries: Countries | None = None
) -> Checked:
    """All checks of a batch's decoded records, in one pass.

    Args:
        decoded: Records with the fields that are checked, and those of `names`.
        names: The columns of CLICK_SCHEMA and ARRIVAL_SCHEMA to make.
        bounds: Clicks outside of these are refused.
        form: The form of URLs.
        countries: What becomes of countries; None: they are counted as given, and under "" if they aren't known.
    """
    raw = decoded.fields
    checks = Checks(len(decoded.kept))
    millis = check_timestamps(raw["timestamp"], checks, earliest=bounds.earliest, latest=bounds.latest)
    columns = {
        "timestamp": pa.array(millis).cast(UTC_MS),
        "user_id": check_required_text("user_id", raw["user_id"], checks),
        "country": check_countries(raw["country"], checks, countries or Countries()),
        "url": check_urls(raw["url"], checks, form),
        "session_end": check_session_ends(raw["session_end"], checks, millis),
    }
    columns |= arrivals(raw["url"], raw.get("referrer"), names)
    if "row_key" in names:
        columns["row_key"] = _row_keys(raw["row_key"], columns)
    table = pa.table(
        {name: columns[name] if name in columns else raw[name] for name in names}, schema=click_schema(names)
    )
    refused, passed = checks.refusals(decoded.kept), checks.passed
    mended = Counter(decoded.mended) + checks.mended
    if passed is None:
        return Checked(table, decoded.kept, refused, mended)
    return Checked(table.filter(passed), decoded.kept[passed], refused, mended)


def click_schema(names: Sequence[str]) -> pa.Schema:
    """These columns of CLICK_SCHEMA and ARRIVAL_SCHEMA."""
    known = pa.unify_schemas([CLICK_SCHEMA, ARRIVAL_SCHEMA])
    return pa.schema([known.field(name) for name in names])


class Checks:
    """Collects, for each of `count` records, the first check that it fails."""

    def __init__(self, count: int) -> None:
        self._reason = np.zeros(count, np.int32)  # 0: none so far; n: the n-th of _found
        self._found: list[tuple[str, str]] = []
        self.mended: Counter[str] = Counter()

    @property
    def passed(self) -> Mask | None:
        """Which records failed nothing; None if all did well."""
        return self._reason == 0 if self._found else None

    def refuse(self, bad: Mask, reason: str, detail: str) -> None:
        """Refuses the records marked in `bad` that no earlier check refused."""
        if bad.any() and (bad := bad & (self._reason == 0)).any():
            self._found.append((reason, detail))
            self._reason[bad] = len(self._found)

    def refusals(self, kept: Int64s) -> list[Refusal]:
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
    """Ends of sessions where they are possible. What is no time, lies before the click or more than 366 days after it is unknown, and counted."""
    given = np.asarray(raw.is_valid()) if isinstance(raw, pa.Array) else np.array([end is not None for end in raw])
    if not given.any():
        return pa.nulls(len(raw), UTC_MS)
    end, valid = to_epoch_ms(raw)
    valid &= given & (end >= start) & (end - start <= LONGEST_SECONDS * 1000)
    if impossible := np.count_nonzero(given & ~valid):
        checks.mended["session_end_unknown"] += impossible
    return pa.array(end, mask=~valid).cast(UTC_MS)


def check_countries(raw: pa.StringArray, checks: Checks, countries: Countries) -> pa.Array:
    """Countries in the form under which they are counted, "" for one that isn't known; refuses that where it is asked for, and overlong ones."""
    texts = pc.utf8_trim_whitespace(pc.fill_null(raw, ""))
    texts = pc.if_else(pc.equal(texts, UNKNOWN), "", texts)
    lengths = np.asarray(pc.utf8_length(texts))
    if countries.is_required:
        checks.refuse(lengths == 0, "empty_country", f"country is empty, blank or {UNKNOWN}")
    too_long = lengths > MAX_COUNTRY_LENGTH
    checks.refuse(too_long, "field_too_long", f"country is longer than {MAX_COUNTRY_LENGTH} characters")
    return by_iso_name(texts) if countries.by_iso_name else texts


def check_required_text(name: str, raw: pa.StringArray, checks: Checks) -> pa.Array:
    """A text that must be there; refuses blank and overlong ones. White space around it is dropped."""
    texts = pc.utf8_trim_whitespace(raw)
    lengths = np.asarray(pc.utf8_length(texts))
    checks.refuse(lengths == 0, f"empty_{name}", f"{name} is empty or blank")
    checks.refuse(lengths > MAX_TEXT_LENGTH, "field_too_long", f"{name} is longer than {MAX_TEXT_LENGTH} characters")
    return texts


def check_urls(raw: pa.StringArray, checks: Checks, form: UrlForm) -> pa.Array:
    """URLs in the form under which they are counted; refuses what is no http(s) URL."""
    texts = raw.dictionary_encode()
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


def _row_keys(given: pa.Array, columns: dict[str, pa.Array]) -> pa.Array:
    """Keys as given; a missing or empty one is derived from user, time and URL, so that replays agree."""
    absent = pc.equal(pc.fill_null(given, ""), "")
    derived = [_row_key(columns, index) for index in np.flatnonzero(np.asarray(absent)).tolist()]
    return pc.replace_with_mask(given, absent, pa.array(derived, pa.string())) if derived else given


def _row_key(columns: dict[str, pa.Array], index: int) -> str:
    user, time, url = (columns[name][index] for name in ("user_id", "timestamp", "url"))
    return blake2b("\0".join((user.as_py(), str(time.value), url.as_py())).encode(), digest_size=16).hexdigest()
