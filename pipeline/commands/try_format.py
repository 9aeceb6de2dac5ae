"""`try-format`: what an event format makes of a sample: first clicks, what was refused and why, and which fields it doesn't use."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from clickstream.io.logs import match_logs, read_logs
from clickstream.pipeline.options import OptionParser, event_format_of
from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.countries import shown_country
from clickstream.transforms.parse import EventFormat, parse_clicks, suggest_format, trees_of, unused_paths

_MOST_UNUSED = 40


def main(argv: Sequence[str]) -> int:
    """Prints it. Returns the exit status: 0, also where records are refused.

    Raises:
        UserError: The format isn't sound, or the sample can't be read.
    """
    options = own_parser().parse_args(list(argv))
    values = list(islice(_records(options.input, options.input_container), options.records))
    text = suggest_format(trees_of(values)) if options.suggest else "\n".join(_tried(values, options)) + "\n"
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


def own_parser() -> argparse.ArgumentParser:
    """Its options."""
    parser = OptionParser("clickstream try-format", __doc__)
    add = parser.add_argument
    add("--input", required=True, metavar="PATH_OR_GLOB", help="a sample of events: a log as the job reads it")
    add("--input_container", choices=("auto", "lines", "csv", "tsv"), default="auto", help="as the job takes it")
    add("--event_format", metavar="NAME_OR_FILE", help="as the job takes it (default: clickstream)")
    add("--suggest", action="store_true", help="print a first format for these events instead, to be looked over")
    add("--records", type=int, default=1000, metavar="N", help="how many are read (default: 1000)")
    add("--show", type=int, default=5, metavar="N", help="how many clicks are shown (default: 5)")
    return parser


def _records(pattern: str, container: str) -> Iterator[bytes]:
    for batch in read_logs(match_logs(pattern, container)):
        yield from batch.values


def _tried(values: list[bytes], options: argparse.Namespace) -> Iterator[str]:
    event_format = event_format_of(options.event_format)
    parse = ParseOptions(event_format=event_format, max_clock_skew_seconds=None)
    parsed = parse_clicks(RawBatch(values, "sample", range(len(values))), parse, now_ms=int(time.time() * 1000))
    counts = f"accepted {parsed.clicks.num_rows:,} + rejected {parsed.rejected.num_rows:,} + not clicks {parsed.not_clicks:,}"
    yield f"read {len(values):,} = {counts}"
    for click in parsed.clicks.slice(0, options.show).to_pylist():
        yield ""
        click["country"] = shown_country(click["country"])
        yield from (f"  {name:12}{_shown(click[name])}" for name in click if click[name] not in (None, ""))
    yield from _refused(parsed.rejected.to_pylist())
    yield from _unused(values, event_format)


def _refused(rows: list[dict[str, Any]]) -> Iterator[str]:
    if rows:
        yield from ("", "Rejected, and the number of the first record that was:")
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        first.setdefault((row["reason"], row["detail"]), row["position"] + 1)
    for (reason, detail), count in Counter((row["reason"], row["detail"]) for row in rows).most_common():
        yield f"  {count:6,}  {reason}: {detail} (record {first[reason, detail]:,})"


def _unused(values: list[bytes], event_format: EventFormat | None) -> Iterator[str]:
    if event_format is None or not event_format.record.is_json:
        return
    paths = unused_paths(trees_of(values), event_format)
    if paths:
        yield from ("", "Not used by the format:")
        yield from (f"  {path}" for path in paths[:_MOST_UNUSED])
    if len(paths) > _MOST_UNUSED:
        yield f"  … and {len(paths) - _MOST_UNUSED:,} more"


def _shown(value: Any) -> str:
    with suppress(AttributeError):
        value = value.isoformat()
    return "".join(character if character.isprintable() else "\ufffd" for character in str(value))
