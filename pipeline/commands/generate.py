"""`generate`: writes a sample click log, or feeds a Kafka topic with clicks as they would come."""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from types import FrameType
from typing import Any

from clickstream.io.errors import UserError
from clickstream.io.kafka import load_kafka_config
from clickstream.io.sample import SampleOptions, feed_topic, write_log
from clickstream.pipeline.argv import given
from clickstream.pipeline.options import OptionParser

_NO_END = 10**12
_TOPIC = "clickstream"
_MOST_A_SECOND = 10**7
_LAST_SESSIONS = timedelta(hours=1)
_REDRAW_SECONDS = 0.5
_CLEAR_LINE = "\r\x1b[K"


_SAMPLE: tuple[tuple[str, Any, str], ...] = (
    ("events", int, "how many events; with --rate: no end"),
    ("seed", int, "another seed, other clicks"),
    ("users", int, "how many visitors"),
    ("pages", int, "how many pages"),
    ("countries", int, "how many countries"),
    ("duration_seconds", float, "the time that the sample spans"),
    ("broken_share", float, "share of records that are broken, in various ways"),
    ("late_share", float, "share of records that arrive late"),
    ("late_by_seconds", float, "the most that a late record is late"),
    ("disorder_seconds", float, "the most that any other record is late"),
)


def main(argv: Sequence[str]) -> int:
    """Makes the sample that the command line asks for, and prints one line about it.

    Returns:
        The exit status: 0, also if Ctrl-C or SIGTERM ended it in order; 2 after a user's mistake, which is told in one
        line; 1 if a second signal came before a topic's brokers had confirmed all.
    """
    feeds = "bootstrap_servers" in given(argv)
    stop = threading.Event()
    with _signals(stop):
        try:
            sys.stdout.write(_run(argv, stop.is_set) + "\n")
        except UserError as error:
            sys.stderr.write(f"generate: {error}\n")
            return 2
        except KeyboardInterrupt:
            what = "records on their way may be missing in the topic" if feeds else "nothing was written"
            sys.stderr.write(f"generate: stopped; {what}.\n")
            return 1 if feeds else 0
    return 0


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop`; a second one raises KeyboardInterrupt.

    An exception out of the blue would be lost where a library's C code can't hand it on, and would spoil the count.
    """

    def receive(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(argv: Sequence[str], stop: Callable[[], bool]) -> str:
    """Writes or feeds; returns the summary."""
    arguments = own_parser().parse_args(list(argv))
    _check(arguments)
    options = _sample_options(arguments)
    meter = _Meter()

    def go_on(events: int, size: int) -> None:
        if stop():
            raise KeyboardInterrupt
        meter(events, size)

    try:
        if arguments.output:
            return f"{meter.line(write_log(arguments.output, options, go_on))} → {arguments.output}"
        return meter.line(_feed(arguments, options, meter, stop)) + f" → topic {arguments.topic or _TOPIC}"
    finally:
        meter.clear()


def _feed(arguments: argparse.Namespace, options: SampleOptions, meter: "_Meter", stop: Callable[[], bool]) -> int:
    return feed_topic(
        arguments.bootstrap_servers,
        arguments.topic or _TOPIC,
        options,
        arguments.rate,
        create_topic=arguments.create_topic,
        config=load_kafka_config(arguments.kafka_config) if arguments.kafka_config else None,
        progress=meter,
        stop=stop,
    )


class _Meter:
    """Tells on a terminal how far it is; quiet elsewhere."""

    def __init__(self) -> None:
        self._began = self._drawn = time.monotonic()
        self._size = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, events: int, size: int) -> None:
        self._size = size
        if self._shown and time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._drawn = time.monotonic()
            sys.stderr.write(_CLEAR_LINE + self.line(events))
            sys.stderr.flush()

    def line(self, events: int) -> str:
        """Events, bytes, seconds, events/s so far."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        return f"{events:,} events, {self._size:,} bytes in {seconds:.1f} s: {events / seconds:,.0f} events/s"

    def clear(self) -> None:
        """Takes the line off the terminal."""
        if self._shown:
            sys.stderr.write(_CLEAR_LINE)


def own_parser() -> argparse.ArgumentParser:
    """Its options: none of them is a job's."""
    parser = OptionParser("clickstream generate", __doc__)
    target = parser.add_argument_group("where to")
    target.add_argument("--output", metavar="PATH", help="the log to write: NDJSON, plain, .gz or .zst")
    target.add_argument("--bootstrap_servers", metavar="HOST:PORT", help="or the Kafka cluster to feed")
    target.add_argument("--topic", metavar="NAME", help="its topic (default: clickstream)")
    target.add_argument(
        "--create_topic", action="store_true", help="make the topic, with 4 partitions, if there is none"
    )
    target.add_argument("--kafka_config", metavar="FILE", help="further librdkafka settings, such as SASL and TLS")
    target.add_argument(
        "--rate",
        type=_rate,
        metavar="N",
        help="events a second, stamped with the present time, until --events or Ctrl-C (default: all at once)",
    )
    sample = parser.add_argument_group("what")
    for name, kind, text in _SAMPLE:
        default = getattr(SampleOptions, name)
        sample.add_argument(f"--{name}", type=kind, metavar="N", help=f"{text} (default: {default})")
    start = f"{SampleOptions.start:%Y-%m-%d}; for a topic, so that the sample ends about now"
    sample.add_argument("--start", type=_time, metavar="TIME", help=f"when it begins, ISO 8601, UTC (default: {start})")
    sample.add_argument("--flat", action="store_true", help="fields side by side instead of in column families")
    return parser


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= _MOST_A_SECOND:
        message = f"{text!r} is no rate: write events a second, such as 10000"
        raise argparse.ArgumentTypeError(message)
    return rate


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        message = f"{text!r} is no time: write 2025-06-02, or 2025-06-02T12:30:00Z"
        raise argparse.ArgumentTypeError(message) from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _check(arguments: argparse.Namespace) -> None:
    """Refuses options that contradict each other: one that is ignored would mislead."""
    if bool(arguments.output) == bool(arguments.bootstrap_servers):
        message = "Name one target: --output=PATH for a log, or --bootstrap_servers=HOST:PORT for a topic."
        raise UserError(message)
    of_kafka = [name for name in ("topic", "create_topic", "kafka_config", "rate") if getattr(arguments, name)]
    if arguments.output and of_kafka:
        message = f"--{of_kafka[0]} goes with --bootstrap_servers, not with --output: leave one of them out."
        raise UserError(message)
    if arguments.rate and (arguments.start or arguments.duration_seconds):
        message = "--rate stamps events with the present time: leave out --start and --duration_seconds."
        raise UserError(message)


def _sample_options(arguments: argparse.Namespace) -> SampleOptions:
    given = {f.name: value for f in fields(SampleOptions) if (value := getattr(arguments, f.name)) is not None}
    if arguments.rate:
        given.setdefault("events", _NO_END)
    try:
        options = SampleOptions(**given)
    except ValueError as error:
        message = f"--{error}."
        raise UserError(message) from None
    if arguments.output or "start" in given:
        return options
    # What reads the topic live refuses old clicks, and those ahead of its clock.
    start = datetime.now(timezone.utc) - timedelta(seconds=options.duration_seconds) - _LAST_SESSIONS
    return replace(options, start=start)
