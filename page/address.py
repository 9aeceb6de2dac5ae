"""A view's address: what the live page is asked by its query string, and the shortest string that asks the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from clickstream.io.errors import UserError
from clickstream.transforms.countries import shown_country, stored_country

RANGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "1d": ("Last day", timedelta(days=1)),
    "7d": ("Last week", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
USUAL = "1d"
_LONGEST = 8_192  # characters of a URL or a country
_EARLIEST, _LATEST = datetime(1000, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 30, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Address:
    """What a view shows.

    Attributes:
        range: One of RANGES, or `free`.
        start: Of a free range: UTC.
        end: Likewise; not included.
        url: One page; None: all.
        country: One country; None: all.
        compare: Whether the period before is shown too.
    """

    range: str = USUAL
    start: datetime | None = None
    end: datetime | None = None
    url: str | None = None
    country: str | None = None
    compare: bool = False

    @property
    def _country(self) -> str | None:
        return None if self.country is None else shown_country(self.country)

    def query(self, time_zone: str) -> str:
        """The query string; empty for the usual view."""
        pairs: dict[str, str] = {} if self.range == USUAL else {"range": self.range}
        if self.start and self.end:
            pairs |= {"from": local_text(self.start, time_zone), "to": local_text(self.end, time_zone)}
        pairs |= {name: text for name, text in (("page", self.url), ("country", self._country)) if text is not None}
        return urlencode(pairs | ({"compare": "on"} if self.compare else {}))

    def within(self, start: datetime, end: datetime) -> "Address":
        """The same of a fixed range."""
        return replace(self, range="free", start=start, end=end)


def read_address(query: Mapping[str, str], time_zone: str) -> Address:
    """Reads a query string's parameters; those that are blank are as if they weren't there. Times are the site's.

    Raises:
        UserError: One of them can't be.
    """
    given = {name: text.strip() for name, text in query.items() if text.strip()}
    name = given.get("range", USUAL)
    if name not in (*RANGES, "free"):
        message = f"There is no range of that name: choose one of {', '.join(RANGES)} or free."
        raise UserError(message)
    start, end = _free(given, time_zone) if name == "free" else (None, None)
    for text in (given.get("page"), given.get("country")):
        if text is not None and (len(text) > _LONGEST or not text.isprintable()):
            message = "A page or country holds what doesn't print, or is too long: write it as it was stored."
            raise UserError(message)
    country = given.get("country")
    stored = None if country is None else stored_country(country)
    return Address(name, start, end, given.get("page"), stored, given.get("compare") == "on")


def _free(given: Mapping[str, str], time_zone: str) -> tuple[datetime, datetime]:
    start, end = (_moment(given.get(name, ""), time_zone) for name in ("from", "to"))
    if start >= end:
        message = "A free range must begin before it ends: correct From and To."
        raise UserError(message)
    return start, end


def _moment(text: str, time_zone: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=found.tzinfo or ZoneInfo(time_zone)).astimezone(timezone.utc)
        if _EARLIEST <= found <= _LATEST:
            return found.replace(microsecond=0)
    except (ValueError, OverflowError):
        pass
    message = "A free range needs two times, From and To, such as 2026-11-01T12:30."
    raise UserError(message)


def local_text(moment: datetime, time_zone: str) -> str:
    """A UTC time as an address and a form write it: the site's clock, with the offset only where that clock shows a time twice."""
    local = moment.astimezone(ZoneInfo(time_zone))
    if local.fold:
        return local.isoformat(timespec="seconds")
    return local.replace(tzinfo=None).isoformat(timespec="seconds" if local.second else "minutes")
