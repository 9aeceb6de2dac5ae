"""What the live page shows: plain values, of which the HTML and the downloads are made."""

from dataclasses import dataclass
from datetime import datetime

from clickstream.io.results import Extent, GroupSums
from clickstream.page.address import Address
from clickstream.transforms.answer import Answer


@dataclass(frozen=True)
class Line:
    """A page or a country.

    Attributes:
        sums: Exact, added up by the store.
        answer: What its rows' sketches say: users and quantiles; None while that is computed, or if it can't be.
        clicks_before: In the period before; None: not compared.
    """

    sums: GroupSums
    answer: Answer | None
    clicks_before: int | None


@dataclass(frozen=True)
class Listing:
    """The pages or countries of the most clicks, and how many there are."""

    count: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Step:
    """One step of time: its sums, and what its rows' sketches say."""

    sums: GroupSums
    answer: Answer | None


@dataclass(frozen=True)
class Period:
    """A range of time: as a whole, and in steps.

    Attributes:
        start, end: UTC; half-open.
        edges: Where each step begins, and where the last one ends, in the site's zone.
        steps: One between two edges.
        sums: Over all of it; `name` is blank.
        rows: How many result rows it has.
        answer: Users and quantiles over all of it.
    """

    start: datetime
    end: datetime
    edges: tuple[datetime, ...]
    steps: tuple[Step, ...]
    sums: GroupSums
    rows: int
    answer: Answer | None


@dataclass(frozen=True)
class View:
    """Everything on the first tab.

    Attributes:
        address: What was asked.
        time_zone: Whose clock is shown.
        place: Which store was asked.
        at: When; UTC.
        extent: What the store has in all; None: nothing yet.
        lagging: The range asked for has no window, so it's shown as of the last one.
        period, before: None: the store is empty, or nothing is compared.
        pages, countries: By clicks.
        pending: Users and quantiles are being computed.
        unanswered: Why there are none, if there will be none; blank otherwise.
    """

    address: Address
    time_zone: str
    place: str
    at: datetime
    extent: Extent | None
    lagging: bool = False
    period: Period | None = None
    before: Period | None = None
    pages: Listing = Listing(0, ())
    countries: Listing = Listing(0, ())
    pending: bool = False
    unanswered: str = ""
