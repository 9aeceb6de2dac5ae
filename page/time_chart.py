"""A chart over time as SVG that takes its colours from the page's style sheet: for the report and the live page."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from itertools import groupby

from clickstream.page.markup import DAY, MINUTE, NICE_NUMBERS, NICE_SECONDS, Html, moment, tag, utc

PLOT_TOP, PLOT_HEIGHT = 22, 170  # pixels
Values = Sequence[float | None]


def time_chart(
    name: str,
    values: Values,
    *,
    edges: Sequence[datetime],
    label: Callable[[float], str],
    steps: Sequence[float] = NICE_NUMBERS,
    before: Values = (),
) -> Html:
    """Draws one value per stretch of time as a stepped area; None leaves a gap. No script: the value under the pointer is CSS.

    It's as wide as its place: positions are percentages, so text keeps its size on a narrow screen.

    Args:
        name: What is shown, for those who can't see it.
        values: One per stretch, none negative.
        edges: Where each stretch begins, and where the last one ends, in the zone whose clock is shown.
        label: Writes a value, as in `1,234 clicks`.
        steps: Distances that the horizontal lines may have.
        before: The values of an earlier time, drawn as a line; as many, or none.
    """
    top = max((value for value in (*values, *before) if value is not None), default=0) or 1
    lines, scale = _lines(top, label, steps)
    return tag(
        "svg",
        *lines,
        _area(values, before, top),
        *scale,
        *_times(edges),
        *_hints(values, before, edges, label),
        class_="chart",
        role="img",
        aria_label=name,
    )


def _lines(top: float, label: Callable[[float], str], steps: Sequence[float]) -> tuple[list[Html], list[Html]]:
    """The horizontal lines, at most four, and their values."""
    step = next((step for step in steps if top / step < 5), steps[-1])
    heights = [
        (i * step, f"{PLOT_TOP + PLOT_HEIGHT * (1 - i * step / top):.1f}") for i in range(1, 5) if i * step <= top
    ]
    lines = [tag("line", x1="0", x2="100%", y1=y, y2=y) for _, y in heights]
    return lines, [tag("text", label(value), x="0", y=y, dy="-4", class_="scale") for value, y in heights]


def _area(values: Values, before: Values, top: float) -> Html:
    """The filled steps, and the line of what was before, in a drawing of its own that is stretched to the plot."""
    fill, edge = _steps(values, top)
    lines = [(edge, "edge"), *([(_steps(before, top)[1], "before")] if before else [])]
    return tag(
        "svg",
        tag("path", d=fill),
        *(tag("path", d=line, class_=name, vector_effect="non-scaling-stroke") for line, name in lines),
        y=PLOT_TOP,
        width="100%",
        height=PLOT_HEIGHT,
        viewBox=f"0 0 {len(values)} 100",
        preserveAspectRatio="none",
    )


def _steps(values: Values, top: float) -> tuple[str, str]:
    fills, edges = [], []
    for known, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if known:
            points = [(i, f"{100 * (1 - (value or 0) / top):.2f}") for i, value in run]
            first, y = points[0]
            tops = "".join(f"V{y}H{i + 1}" for i, y in points)
            fills.append(f"M{first} 100{tops}V100Z")
            edges.append(f"M{first} {y}{tops}")
    return "".join(fills), "".join(edges)


def _times(edges: Sequence[datetime]) -> Iterable[Html]:
    """The time axis: two to five marks (so many fit on a telephone) at round times, with the date where a day begins."""
    bottom = PLOT_TOP + PLOT_HEIGHT
    yield tag("line", x1="0", x2="100%", y1=bottom, y2=bottom, class_="axis")
    epochs, (began, ended) = [int(edge.timestamp()) for edge in edges], map(_clock, (edges[0], edges[-1]))
    seconds = epochs[-1] - epochs[0]
    step = next((step for step in NICE_SECONDS if seconds / step <= 4.6), -(-seconds // (4 * DAY)) * DAY)
    for clock in range(-(-began // step) * step, ended + 1, step):
        share = _share(int(utc(clock).replace(tzinfo=edges[0].tzinfo).timestamp()), epochs)
        anchor = "start" if share < 0.08 else "end" if share > 0.92 else "middle"
        yield tag("text", _mark(clock, step), x=f"{100 * share:.2f}%", y=bottom + 18, text_anchor=anchor)


def _clock(time: datetime) -> int:
    """What its zone's clock shows, as seconds since a clock showed 1970."""
    return int(time.replace(tzinfo=timezone.utc).timestamp())


def _share(epoch: int, epochs: Sequence[int]) -> float:
    """How far right a time stands: stretches are as wide as each other, also where a day has 23 hours."""
    i = min(max(bisect_right(epochs, epoch) - 1, 0), len(epochs) - 2)
    return min(max((i + (epoch - epochs[i]) / (epochs[i + 1] - epochs[i])) / (len(epochs) - 1), 0), 1)


def _mark(clock: int, step: int) -> str:
    time = utc(clock)
    if step > NICE_SECONDS[-1]:
        return f"{time:%Y-%m}"
    if clock % DAY == 0:
        return f"{time:%b} {time.day}"
    return f"{time:%H:%M:%S}" if step < MINUTE else f"{time:%H:%M}"


def _hints(values: Values, before: Values, edges: Sequence[datetime], label: Callable[[float], str]) -> Iterable[Html]:
    """A column over each stretch that, while pointed at, shows its time and value above the plot."""
    width = f"{100 / len(values):.4f}%"
    for i, value in enumerate(values):
        shown = f"{moment(edges[i])} · {_label(value, label)}"
        if before:
            shown += f" (before: {_label(before[i], label)})"
        column = tag("rect", x=f"{100 * i / len(values):.3f}%", y=PLOT_TOP, width=width, height=PLOT_HEIGHT)
        yield tag("g", column, tag("text", shown, x="100%", y="12", text_anchor="end"), class_="hint")


def _label(value: float | None, label: Callable[[float], str]) -> str:
    return "unknown" if value is None else label(value)
