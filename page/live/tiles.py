"""Numbers of the first tab, one by one: what is exact, what is still computed, and how each differs from the period before."""

from collections.abc import Callable

from clickstream.io.results import GroupSums
from clickstream.page.markup import Html, tag
from clickstream.page.table_cells import UNMEASURED, time_cell, users_cell
from clickstream.page.view import Period, View
from clickstream.transforms.answer import Answer

PENDING = "…"


def tiles(view: View, period: Period) -> Html:
    """What the period comes to in all, and how it differs from the one before."""
    before, sums, answer = view.before, period.sums, period.answer
    was, said = (before.sums if before else None), (before.answer if before else None)

    def differs(field: Callable[[Answer | None], float | None]) -> object:
        return PENDING if view.pending and (answer is None or said is None) else change(field(answer), field(said))

    cells: list[tuple[str, object, object]] = [
        ("Clicks", f"{sums.clicks:,}", change(sums.clicks, was and was.clicks)),
        ("Users", users(view, answer), differs(estimate)),
        ("Mean time", time_cell(mean(sums)), change(mean(sums), was and mean(was))),
        ("Median time", time(view, answer, "median_time_spent"), differs(lambda each: each and each.median_time_spent)),
        ("P90 time", time(view, answer, "p90_time_spent"), differs(lambda each: each and each.p90_time_spent)),
        ("Time known", known(sums), _points(_known_share(sums), was and _known_share(was))),
    ]
    if sums.sessions is not None:
        rate, earlier = _bounce_rate(sums), was and _bounce_rate(was)
        cells.append(("Sessions", f"{sums.sessions:,}", change(sums.sessions, was and was.sessions)))
        cells.append(("Bounce rate", UNMEASURED if rate is None else f"{rate:.0%}", _points(rate, earlier)))
    boxes = (
        tag("div", tag("dt", name), tag("dd", value), *([tag("dd", differing, class_="change")] if before else []))
        for name, value, differing in cells
    )
    return tag("section", tag("h2", "In all", class_="visually-hidden"), tag("dl", *boxes), class_="tiles")


def estimate(answer: Answer | None) -> int | None:
    """Distinct users, or the estimate of them."""
    return answer.users.estimate if answer and answer.users else None


def mean(sums: GroupSums) -> float | None:
    """The mean time spent, in seconds."""
    return sums.time_spent_seconds / sums.timed_clicks if sums.timed_clicks else None


def _bounce_rate(sums: GroupSums) -> float | None:
    return sums.bounces / sums.sessions if sums.sessions and sums.bounces is not None else None


def known(sums: GroupSums) -> str:
    """The share of clicks whose time is known."""
    return f"{sums.timed_clicks / sums.clicks:.0%}" if sums.clicks else UNMEASURED


def _known_share(sums: GroupSums) -> float | None:
    return sums.timed_clicks / sums.clicks if sums.clicks else None


def _points(now: float | None, was: float | None) -> str:
    """The difference of two shares."""
    if now is None or was is None:
        return UNMEASURED
    points = round(100 * (now - was))
    return f"{points:+d} points" if points else "0 points"


def change(now: float | None, was: float | None) -> object:
    """By how much a number differs from an earlier one."""
    if now is None or not was:
        return UNMEASURED
    share = now / was - 1
    if abs(share) < 0.005:
        return "0%"
    return tag(
        "span",
        f"{share:+.0%}" if abs(share) < 9.995 else f"\N{MULTIPLICATION SIGN}{now / was:,.0f}",
        title=f"before: {was:,.6g}",
    )


def users(view: View, answer: Answer | None) -> object:
    """A cell of distinct users."""
    if answer is not None:
        return users_cell(answer.users)
    return _later(view)


def time(view: View, answer: Answer | None, field: str) -> object:
    """A cell of a quantile."""
    return _later(view) if answer is None else time_cell(getattr(answer, field))


def _later(view: View) -> Html:
    return (
        tag("span", PENDING, title="being computed") if view.pending else tag("span", UNMEASURED, title=view.unanswered)
    )
