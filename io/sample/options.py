"""What a sample of clicks holds."""

from dataclasses import dataclass
from datetime import datetime, timezone

from clickstream.io.sample.tables import PLACES


@dataclass(frozen=True)
class SampleOptions:
    """What the sample holds. The same options give the same bytes (with one version of numpy, on one kind of machine).

    Attributes:
        seed: Any whole number from 0; another one gives other clicks.
        events: How many records, broken ones included.
        users: How many visitors there are; few of them come often. Each has one place and one device.
        pages: How many pages there are, before tracking parameters.
        countries: From how many countries visitors come.
        start: When the first session may begin, with a time zone.
        duration_seconds: Sessions begin within this time from `start`; their last clicks may lie a little behind.
        broken_share: The share of records that are broken, evenly in each of BROKEN_KINDS.
        late_share: The share of records that arrive late, by a random time up to `late_by_seconds`.
        disorder_seconds: Every record arrives up to this time after its click, so that neighbours change places.
        flat: Fields side by side instead of in column families.

    Raises:
        ValueError: A value is out of bounds; the text names it.
    """

    seed: int = 1
    events: int = 200_000
    users: int = 20_000
    pages: int = 2_000
    countries: int = len(PLACES)
    start: datetime = datetime(2025, 6, 2, tzinfo=timezone.utc)
    duration_seconds: float = 86_400.0
    broken_share: float = 0.002
    late_share: float = 0.0
    late_by_seconds: float = 600.0
    disorder_seconds: float = 2.0
    flat: bool = False

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**63 - 1),
            "events": (1, 10**12),
            "users": (1, 10**7),
            "pages": (1, 10**6),
            "countries": (1, len(PLACES)),
            "duration_seconds": (1, 3_660 * 86_400),
            "broken_share": (0, 1),
            "late_share": (0, 1),
            "late_by_seconds": (0, 366 * 86_400),
            "disorder_seconds": (0, 86_400),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                message = f"{name} is {getattr(self, name)}: it goes from {least} to {most}"
                raise ValueError(message)
        if self.start.tzinfo is None or not 1970 < self.start.year < 2150:
            message = f"start is {self.start}: it takes a time zone, and a year from 1971 to 2149"
            raise ValueError(message)
