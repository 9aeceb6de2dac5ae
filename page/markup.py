"""Pieces of a page: escaped HTML, and tables with bars.

Safe by construction: every text that isn't `Html` is escaped, and what doesn't print (control characters, marks that turn the
direction of writing, lone surrogates) is shown as its code. Nothing here makes a link or loads anything.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from html import escape

MINUTE, HOUR, DAY = 60, 3600, 86_400
NICE_SECONDS = (
    *(1, 2, 5, 10, 15, 30),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14)),
)
NICE_NUMBERS = tuple(digit * 10**power for power in range(16) for digit in (1, 2, 5))


_VOID = ("input", "link", "meta")


class Html(str):
    """Text that is HTML already: it's not escaped again."""

    __slots__ = ()


def visible(text: str) -> str:
    r"""Replaces each character that doesn't print by its code.

    >>> visible("a\x00b\u202ec")
    'a\\x00b\\u202ec'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, most: int) -> str:
    """Cuts the middle out of a text longer than `most` characters: a URL's host and its end say more.

    >>> shortened("https://example.com/a/long/path/page.html", 24)
    'https://exam…h/page.html'
    """
    head = most // 2
    return text if len(text) <= most else f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """Builds one element; content and attributes are escaped, `Html` content is not.

    An attribute's trailing `_` is dropped, other `_` become `-`: `class_="bar"`, `aria_label="…"`. A blank class is left out.
    """
    named = ((key.rstrip("_").replace("_", "-"), _text(value)) for key, value in attributes.items())
    written = "".join(f' {key}="{value}"' for key, value in named if key != "class" or value.strip())
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Iterable[object], separator: str = "") -> Html:
    """Puts pieces of content side by side, escaping those that aren't `Html`."""
    return Html(separator.join(piece if isinstance(piece, Html) else _text(piece) for piece in content))


def foreign(text: str, most: int = 140) -> Html:
    """Shows a text that came with the data: visible, shortened, and isolated, so that it can't reorder what stands beside it."""
    shown = visible(text)
    cut = {} if len(shown) <= most else {"title": shown}
    return tag("bdi", shortened(shown, most), **cut)


def duration(seconds: float) -> str:
    """Writes a length of time to about three digits.

    >>> [duration(s) for s in (0, 4.21, 59.6, 300, 3725)]
    ['0 s', '4.2 s', '1 min', '5 min', '1 h 2 min']
    """
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        minutes, rest = divmod(whole, MINUTE)
        parts = ((minutes, "min"), (rest, "s"))
    else:
        hours, rest = divmod(whole // MINUTE, MINUTE)
        parts = ((hours, "h"), (rest, "min"))
    return " ".join(f"{number:,} {unit}" for number, unit in parts if number) or "0 s"


def moment(time: datetime) -> str:
    """Writes a time, as its own zone's clock shows it, to the second; leaves off seconds that are zero."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"


def utc(epoch: int) -> datetime:
    """The UTC time that is `epoch` seconds after 1970; also before it."""
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=epoch)


def bar(share: float, *content: object) -> Html:
    """Content with a bar below it that is `share` (0 to 1) of the cell's width."""
    drawn = tag("rect", width=f"{100 * share:.2f}%", height="100%")
    return joined((*content, tag("svg", drawn, class_="bar", aria_hidden="true")))


def table(
    caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: str = "", name: str = ""
) -> Html:
    """A table whose first column names the row.

    Args:
        caption: What the table shows.
        headings: One per column.
        rows: Cells: `Html`, or anything else, which is escaped.
        numbers: One letter per column: `n` for numbers (right-aligned), anything else for text.
        name: The table's class. With `stack` in it, the style sheet stacks a row's cells on a narrow screen: then each cell
            carries its heading, and roles are spelt out, because such a style takes them away from screen readers.
    """
    stacks = "stack" in name.split()

    def role(of: str) -> dict[str, str]:
        return {"role": of} if stacks else {}

    def cell(content: object, heading: str, kind: str) -> Html:
        label = {"data_label": heading} if stacks else {}
        return tag("td", content, class_=kind, **role("cell"), **label)

    kinds = numbers.ljust(len(headings))
    columns = list(zip(headings, kinds, strict=True))
    head = (tag("th", text, scope="col", class_=kind, **role("columnheader")) for text, kind in columns)
    body = (
        (
            tag("th", first, scope="row", **role("rowheader")),
            *(cell(content, *column) for content, column in zip(others, columns[1:], strict=True)),
        )
        for first, *others in rows
    )
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head, **role("row")), **role("rowgroup")),
        tag("tbody", *(tag("tr", *cells, **role("row")) for cells in body), **role("rowgroup")),
        class_=name,
        **role("table"),
    )


def _text(value: object) -> str:
    return escape(visible(str(value)))
