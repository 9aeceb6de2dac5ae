"""What stands in tables and tiles of the report and the live page: counts, users, times, and why records were rejected."""

from collections.abc import Callable, Mapping, Sequence

from clickstream.io.results import RAW_SHOWN, Rejection
from clickstream.page.markup import Html, bar, duration, foreign, joined, table, tag
from clickstream.transforms.sketches import Users

UNMEASURED = "\N{EN DASH}"


def tiles(numbers: Mapping[str, object]) -> Html:
    """Names with a large number each."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", _number(value))) for name, value in numbers.items()))


def _number(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def count_of(noun: str) -> Callable[[float], str]:
    """Writes a number of something."""
    return lambda number: f"{number:,.0f} {noun}"


def caption_of(noun: str, shown: int, of: int, share: float) -> str:
    """What a table of the most clicked shows, and of how many."""
    return (
        f"All {of:,} {noun}, by clicks"
        if shown == of
        else f"The top {shown} of {of:,} {noun}, by clicks: {share:.1%} of all clicks"
    )


def users_cell(users: Users | None) -> object:
    """Distinct users; an estimate is marked, its bounds shown when pointed at."""
    if users is None:
        return UNMEASURED
    if users.exact:
        return f"{users.estimate:,}"
    return tag("span", f"≈ {users.estimate:,}", title=f"{users.low:,} to {users.high:,} with 95 % certainty")


def time_cell(seconds: float | None) -> str:
    """A time spent."""
    return "unknown" if seconds is None else duration(seconds)


def rejections_table(rejections: Sequence[Rejection]) -> Html:
    """Why records were rejected, of fields a row each, with an example."""
    if not rejections:
        return tag("p", "No record was rejected.")
    most = rejections[0].records
    rows = ((bar(r.records / most, foreign(r.reason)), f"{r.records:,}", _example(r)) for r in rejections)
    return table(
        "Rejected records by reason, with an example of each",
        ("Reason", "Records", "Example"),
        rows,
        numbers=" n",
        name="stack rejections",
    )


def _example(rejection: Rejection) -> Html:
    raw = foreign(rejection.raw.decode("utf-8", "backslashreplace"), 4 * RAW_SHOWN)
    rest = f" … {rejection.raw_bytes:,} bytes in all" if rejection.raw_bytes > len(rejection.raw) else ""
    where = tag("div", foreign(f"{rejection.source}:{rejection.position}"), class_="muted")
    return joined((tag("div", foreign(rejection.detail, 400)), where, tag("pre", raw, rest)))
