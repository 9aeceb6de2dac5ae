"""The live page's tables as CSV (RFC 4180, UTF-8), which no spreadsheet takes for formulas."""

import csv
import io
from collections.abc import Iterable, Sequence

from clickstream.io.results import GroupSums, Rejection
from clickstream.page.view import Line, View
from clickstream.transforms.answer import Answer
from clickstream.transforms.countries import shown_country

_FORMULA = (
    *"=+-@\t\r\n",
    *"\uff1d\uff0b\uff0d\uff20",
)  # the last are full-width, which some spreadsheets take for the others
_SPELT_OUT = {code: rf"\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\r\n"}
SUMS = (
    *("clicks", "unique_users", "unique_users_exact", "timed_clicks", "time_spent_seconds"),
    *("avg_time_spent", "median_time_spent", "p90_time_spent", "sessions", "bounces"),
)


def safe_text(text: str) -> str:
    r"""A text that spreadsheets and terminals show as it is: what would be a formula gets a quote before it (OWASP, "CSV Injection").

    Control characters are spelt out, but for tabs and line ends: a NUL ends the texts of some programs, an ESC begins a terminal's commands.

    >>> safe_text("=1+1"), safe_text("https://a.example/")
    ("'=1+1", 'https://a.example/')
    >>> print(safe_text("a" + chr(27) + "[2J"))
    a\x1b[2J
    """
    text = text.translate(_SPELT_OUT)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text


def shown_only(name: str, view: View) -> int:
    """How many pages or countries are shown, if there are more: the file has no others. 0: all are in it."""
    listing = {"pages": view.pages, "countries": view.countries}.get(name)
    return len(listing.lines) if listing and listing.count > len(listing.lines) else 0


def view_csv(name: str, view: View) -> str:
    """`over-time`, `pages` or `countries` of a view; a cell is blank where nothing is known."""
    if name == "over-time":
        steps = zip(view.period.edges, view.period.steps, strict=False) if view.period else ()
        return _written(("from", *SUMS), ((edge.isoformat(), *_cells(step.sums, step.answer)) for edge, step in steps))
    lines: Sequence[Line] = view.pages.lines if name == "pages" else view.countries.lines
    column = "url" if name == "pages" else "country"
    shown = str if name == "pages" else shown_country
    return _written(
        (column, *SUMS), ((safe_text(shown(line.sums.name)), *_cells(line.sums, line.answer)) for line in lines)
    )


def rejected_csv(rejections: Sequence[Rejection]) -> str:
    """Each reason with its example."""
    rows = (
        (
            *map(safe_text, (each.reason,)),
            each.records,
            safe_text(each.source),
            each.position,
            safe_text(each.detail),
            safe_text(_text(each.raw)),
        )
        for each in rejections
    )
    return _written(("reason", "records", "source", "position", "detail", "example"), rows)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _cells(sums: GroupSums, answer: Answer | None) -> tuple[object, ...]:
    users = answer.users if answer else None
    mean = sums.time_spent_seconds / sums.timed_clicks if sums.timed_clicks else None
    return (
        *(sums.clicks, users and users.estimate, users and str(users.exact).lower(), sums.timed_clicks),
        *(
            round(sums.time_spent_seconds, 3),
            mean,
            answer and answer.median_time_spent,
            answer and answer.p90_time_spent,
        ),
        *(sums.sessions, sums.bounces),
    )


def _written(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return out.getvalue()
