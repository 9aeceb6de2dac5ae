"""What a user reads in the terminal: a line of progress while a bounded job runs, and a summary when it is done."""

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickstream.page.markup import shortened, visible
from clickstream.page.report import Figures, Page
from clickstream.pipeline.counts import Counts
from clickstream.pipeline.output_dir import OutputDir

_PAGES = 10
_SHORTEST_URL = 20
_RATE_OVER_SECONDS = 3.0
_HEADINGS = ("clicks", "users", "mean s", "median s", "time known")
_QUESTION = "SELECT url, SUM(clicks) FROM page_metrics GROUP BY 1 ORDER BY 2 DESC LIMIT 5"


class ProgressLine:
    """Rewrites one line of the terminal: records read, records a second, share done, rejected. Says nothing when piped.

    A context manager; the line is gone when it ends. `update` may be called from any one thread.
    """

    def __init__(self, *, total_bytes: int | None) -> None:
        self._total_bytes = total_bytes
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._seen = deque([(time.monotonic(), 0)])

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def update(self, *, records: int, bytes_read: int, rejected: int) -> None:
        """Shows how far the job is; the counts are totals so far. `total_bytes` None: how much there is isn't known (compressed logs)."""
        if not self._terminal:
            return
        share = f" | {min(1.0, bytes_read / self._total_bytes):.0%}" if self._total_bytes else ""
        line = f"{records:,} records | {self._rate(records):,.0f} records/s{share} | rejected {rejected:,}"
        # A line as wide as the terminal would wrap, and then only its second half be rewritten.
        sys.stderr.write(f"\r\x1b[K{line[: _columns(sys.stderr) - 1]}")
        sys.stderr.flush()

    def _rate(self, records: int) -> float:
        """Records a second over the last few seconds: start-up doesn't count, and a stall shows."""
        now = time.monotonic()
        self._seen.append((now, records))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_OVER_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return (records - before) / max(now - then, 0.001)


def print_summary(
    output: OutputDir, counts: Counts, figures: Figures, seconds: float, *, sample: bool, notes: Sequence[str] = ()
) -> None:
    """Prints the top pages, what became of the records, where the results are and what to try next.

    Colours, box lines and shortened URLs on a terminal only; piped, plain lines with whole URLs. Nothing from the data is taken
    for markup or a control sequence, and what the output's encoding can't say is written as its code.
    """
    stream = sys.stdout
    pages = figures.top_pages[:_PAGES]
    head = _pages_in_box(pages, stream) if stream.isatty() else _pages_in_lines(pages)
    stored = figures.over_time
    rows = f"rows {stored.rows:,} in {stored.windows:,} windows" if stored else "rows 0: no clicks yet"
    told = [*_counts(counts, seconds), rows, *notes]
    _print(stream, (head, told, _places(output), _next_steps(output, sample=sample)))


def print_server_summary(places: Sequence[str], counts: Counts, seconds: float, *, notes: Sequence[str] = ()) -> None:
    """Prints what became of the records, and where the rows are. The figures are asked of the servers, by `query` or the page."""
    first, *others = map(visible, places)
    where = [f"Results: {first}", *(f"         {other}" for other in others)]
    _print(sys.stdout, ([*_counts(counts, seconds), *notes], where))


def _print(stream: TextIO, parts: Sequence[Sequence[str]]) -> None:
    text = "\n\n".join("\n".join(part) for part in parts if part) + "\n"
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _pages_in_lines(pages: Sequence[Page]) -> list[str]:
    lines = [(*_HEADINGS, "page"), *((*_cells(page), visible(page.url)) for page in pages)]
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:-1]]
    aligned = ["  ".join((*map(str.rjust, numbers, widths), url)) for *numbers, url in lines]
    return ["Top pages", *aligned] if pages else []


def _pages_in_box(pages: Sequence[Page], stream: TextIO) -> list[str]:
    console = Console(file=stream, force_terminal=True)
    rows = [_cells(page) for page in pages]
    headings = [heading.replace(" ", "\n") for heading in _HEADINGS]  # two lines leave more room for URLs
    table = Table(title="Top pages", title_justify="left")
    table.add_column("page", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    cells_of = [[*heading.splitlines(), *column] for heading, *column in zip(headings, *rows, strict=True)]
    numbers = sum(max(map(len, cells)) + 3 for cells in cells_of)
    for page, cells in zip(pages, rows, strict=True):
        table.add_row(Text(_fitted(visible(page.url), console.width - numbers - 4)), *cells)
    with console.capture() as printed:
        console.print(table)
    return printed.get().splitlines() if pages else []


def _cells(page: Page) -> tuple[str, ...]:
    mean = page.time_spent_seconds / page.timed_clicks if page.timed_clicks else None
    times = ("-" if seconds is None else f"{seconds:.1f}" for seconds in (mean, page.median_time_spent))
    return f"{page.clicks:,}", _users(page), *times, f"{page.timed_clicks / page.clicks:.0%}" if page.clicks else "-"


def _users(page: Page) -> str:
    if page.users is None:
        return "-"
    return f"{page.users.estimate:,}" if page.users.exact else f"~{page.users.estimate:,}"


def _fitted(text: str, cells: int) -> str:
    """The text with its middle cut out, so that it fills at most so many cells of a terminal (some characters fill two)."""
    length = max(cells, _SHORTEST_URL)
    while cell_len(cut := shortened(text, length)) > max(cells, _SHORTEST_URL):
        length -= 1
    return cut


def _counts(counts: Counts, seconds: float) -> list[str]:
    others = f" + not clicks {counts.not_clicks:,}" if counts.not_clicks else ""
    outcome = (
        f"accepted {counts.accepted:,} + rejected {counts.rejected:,} + too late {counts.too_late:,}{others}"
        f"  ({seconds:.1f} s, {counts.read / max(seconds, 0.001):,.0f} records/s)"
    )
    lines = [f"read {counts.read:,} = {outcome}"]
    lost = counts.read - counts.accepted - counts.rejected - counts.too_late - counts.not_clicks
    if lost:
        lines = [
            f"read {counts.read:,}, {outcome}",
            f"These don't add up: {lost:,} records are unaccounted for. Please report it.",
        ]
    if counts.rejected_by_reason:
        reasons = (f"{visible(reason)} {number:,}" for reason, number in counts.rejected_by_reason.items())
        lines.append(f"rejected: {', '.join(reasons)}")
    if counts.mended:
        what = ", ".join(f"{name} {number:,}" for name, number in counts.mended.items())
        lines.append(f"counted, with fields cut or unknown: {what}")
    return lines


def _places(output: OutputDir) -> list[str]:
    first, *others = (visible(str(path)) for path in (output.database, output.bulk_file(), output.report))
    return [f"Results: {first}", *(f"         {other}" for other in others)]


def _next_steps(output: OutputDir, *, sample: bool) -> list[str]:
    command = os.environ.get("CLICKSTREAM_COMMAND", "clickstream")  # run_local.sh says its own name
    own = [f"  your own log:   {command} --input='logs/*.ndjson' --output_dir=results"] if sample else []
    return [
        "Next:",
        *own,
        f"  look:           open {visible(str(output.report))}",
        f'  ask:            sqlite3 {visible(str(output.database))} "{_QUESTION}"',
        f"  live on Kafka:  {command} --help",
    ]


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
