"""What a user reads in the terminal: a line of progress while a bounded job runs, and a summary when it is done."""

import shutil
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickstream.io.report import Figures, Page
from clickstream.pipeline.counts import Counts
from clickstream.pipeline.output_dir import OutputDir

_PAGES = 10
_URL_WIDTH = 60
_PIPED_WIDTH = 120
_QUESTION = "SELECT url, SUM(clicks) FROM page_metrics GROUP BY 1 ORDER BY 2 DESC LIMIT 5"


class ProgressLine:
    """Rewrites one line of the terminal: records read, records a second, share done, rejected. Says nothing when piped."""

    def __init__(self, *, total_bytes: int | None) -> None:
        self._total_bytes = total_bytes
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")

    def update(self, *, records: int, bytes_read: int, rejected: int) -> None:
        """Shows how far the job is. `total_bytes` None: how much there is isn't known (compressed logs)."""
        if not self._terminal:
            return
        seconds = max(time.monotonic() - self._started, 0.001)
        share = f" | {min(1.0, bytes_read / self._total_bytes):.0%}" if self._total_bytes else ""
        sys.stderr.write(
            f"\r\x1b[K{records:,} records | {records / seconds:,.0f} records/s{share} | rejected {rejected:,}"
        )
        sys.stderr.flush()


def print_summary(output: OutputDir, counts: Counts, figures: Figures, seconds: float, *, sample: bool) -> None:
    """Prints the top pages, what became of the records, where the results are and what to try next.

    Colours and box lines on a terminal only. Nothing from the data is taken for markup or a control sequence.
    """
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    if figures.top_pages:
        console.print(_pages_table(figures.top_pages[:_PAGES], plain=not console.is_terminal))
    console.print(
        f"read {counts.read:,} = accepted {counts.accepted:,} + rejected {counts.rejected:,} + too late {counts.too_late:,}"
        f"  ({seconds:.1f} s)"
    )
    if counts.rejected_by_reason:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.rejected_by_reason.items())
        console.print(f"rejected: {reasons}", markup=False)
    over_time = figures.over_time
    console.print(f"rows {over_time.rows if over_time else 0:,} in {over_time.windows if over_time else 0:,} windows")
    console.print(f"\nResults: {output.database}\n         {output.bulk_file}\n         {output.report}", markup=False)
    console.print(_next_steps(output, sample=sample), markup=False)


def _pages_table(pages: tuple[Page, ...], *, plain: bool) -> Table:
    width = max(20, min(_URL_WIDTH, shutil.get_terminal_size((120, 24)).columns - 40))
    table = Table(box=None if plain else Table().box, title="Top pages", title_justify="left")
    table.add_column("page", no_wrap=True)
    for name in ("clicks", "mean time, s", "time known"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for page in pages:
        mean = f"{page.time_spent_seconds / page.timed_clicks:.1f}" if page.timed_clicks else "-"
        known = f"{page.timed_clicks / page.clicks:.0%}" if page.clicks else "-"
        table.add_row(Text(shorten(page.url, width)), f"{page.clicks:,}", mean, known)
    return table


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` characters, cut in the middle, with nothing that a terminal would obey."""
    plain = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if len(plain) <= width:
        return plain
    head = (width - 1) // 2
    return f"{plain[:head]}…{plain[len(plain) - (width - 1 - head) :]}"


def _next_steps(output: OutputDir, *, sample: bool) -> str:
    own = "" if not sample else "\n  your own log:   ./run_local.sh --input='logs/*.ndjson' --output_dir=results"
    return (
        f"\nNext:{own}"
        f"\n  look:           open {output.report}"
        f'\n  ask:            sqlite3 {output.database} "{_QUESTION}"'
        "\n  live on Kafka:  ./run_local.sh --help"
    )
