"""The other tabs: what was rejected and what came late, and the live job's health."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from clickstream.io.health_client import Health
from clickstream.io.results import Rejection
from clickstream.page.live.frame import page
from clickstream.page.markup import Html, duration, joined, moment, table, tag
from clickstream.page.table_cells import UNMEASURED, rejections_table, tiles

NO_JOB = (
    "No live job is connected. The page of ./run_local.sh --page knows its job; beside another, start the page with "
    "--health=http://HOST:PORT, where the job has its --health_port."
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def rejected_page(
    rejections: Sequence[Rejection] | None,
    place: str,
    late: int | None,
    time_zone: str,
    *,
    query: str = "",
    problem: Html | None = None,
    late_source: str = "",
) -> str:
    """The second tab.

    Args:
        rejections: By reason; None: they can't be shown, and `place` or `problem` says why.
        place: Where they are, for people to read.
        late: Clicks that came too late; None: not known.
        time_zone: Of the site.
        query: The first tab's address.
        problem: What is wrong, if anything is.
        late_source: Where the number of late clicks comes from, or why there is none.
    """
    total = sum(each.records for each in rejections or ())
    counts: dict[str, object] = {"Rejected records": total} if rejections is not None else {}
    counts |= {"Late clicks": UNMEASURED if late is None else late}
    explained = (
        "A click is late when its window had been closed for good (--allowed_lateness): it isn't counted. With a raw store it is kept, "
        "and reprocess counts it."
    )
    sections = [
        tag("section", tag("h2", "In all", class_="visually-hidden"), tiles(counts), class_="tiles"),
        tag("section", tag("h2", "Rejected"), *_rejections(rejections, place), id="rejections"),
        tag("section", tag("h2", "Late clicks"), tag("p", late_source), tag("p", explained, class_="muted"), id="late"),
    ]
    return page("/rejected", "Rejected and late", time_zone, problem or Html(), *sections, query=query)


def _rejections(rejections: Sequence[Rejection] | None, place: str) -> list[Html]:
    where = tag("p", tag("bdi", place), class_="muted")
    if rejections is None:
        return [where]
    csv = (
        [tag("p", tag("a", "CSV, rejected", href="/rejected.csv", download=""), class_="download")]
        if rejections
        else []
    )
    return [where, rejections_table(rejections), *csv]


def health_page(
    health: Health | None, time_zone: str, *, query: str = "", problem: Html | None = None, now: datetime | None = None
) -> str:
    """The third tab."""
    if health is None:
        said = [] if problem else [tag("section", tag("p", NO_JOB, class_="empty"))]
        return page("/health", "Health", time_zone, problem or Html(), *said, query=query, refresh_seconds=3)
    zone, at = ZoneInfo(time_zone), now or datetime.now(timezone.utc)
    content = [_state(health), _figures(health, zone, at), _lag(health), _error(health, zone)]
    return page("/health", "Health", time_zone, problem or Html(), *content, query=query, refresh_seconds=3)


def _state(health: Health) -> Html:
    if health.state == "ok":
        return tag("p", "The live job is running well.", class_="good", role="status")
    return tag(
        "p",
        "The live job is ",
        tag("bdi", health.state),
        *([": ", tag("bdi", health.reason)] if health.reason else []),
        class_="alert",
        role="alert",
    )


def _figures(health: Health, zone: ZoneInfo, now: datetime) -> Html:
    rate = health.events_per_second
    watermark = None if health.watermark_ms is None or health.watermark_ms <= 0 else _utc(health.watermark_ms)
    age = None if watermark is None else max(0.0, (now - watermark).total_seconds())
    cells = {
        "Events a second": UNMEASURED if rate is None else f"{rate:,.0f}",
        "Lag, records": _count(health.lag),
        "Watermark age": UNMEASURED if age is None else duration(age),
        "Windows written": _count(health.windows_written),
        "Rows written": _count(health.rows_written),
        "Sink retries": _count(health.sink_retries),
        "Rejected": _count(health.rejected),
        "Late clicks": _count(health.too_late),
    }
    said = (
        UNMEASURED if watermark is None else f"{moment(watermark.astimezone(zone).replace(microsecond=0))} {zone.key}"
    )
    note = (
        f"The watermark, up to which events are taken to be complete, is at {said}. Counts are since the job's start."
    )
    return tag(
        "section",
        tag("h2", "Now", class_="visually-hidden"),
        tiles(cells),
        tag("p", note, class_="muted"),
        class_="tiles",
    )


def _count(number: int | None) -> str:
    return UNMEASURED if number is None else f"{number:,}"


def _lag(health: Health) -> Html:
    lag = sorted(health.lag_by_partition.items(), key=lambda pair: (len(pair[0]), pair[0]))
    if not lag:
        return tag("section", tag("h2", "Lag by partition"), tag("p", "No partition is read yet.", class_="empty"))
    rows = ((tag("bdi", partition), f"{behind:,}") for partition, behind in lag)
    return tag(
        "section",
        tag("h2", "Lag by partition"),
        table("Records that wait", ("Partition", "Records"), rows, numbers=" n", name="lag"),
    )


def _error(health: Health, zone: ZoneInfo) -> Html:
    if not health.last_error:
        return tag("section", tag("h2", "Last error"), tag("p", "None.", class_="empty"))
    at = health.last_error_at_ms
    when = (
        [tag("p", f"{moment(_utc(at).astimezone(zone).replace(microsecond=0))} {zone.key}", class_="muted")]
        if at
        else []
    )
    return tag("section", tag("h2", "Last error"), joined((*when, tag("p", tag("bdi", health.last_error)))))


def _utc(millis: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)
