"""Sample clicks of a made-up site, the same for the same seed: as records, as a log file, or fed to a Kafka topic.

Visitors come by a daily curve and stay for a session: several pages in a row, each for a while. A few pages get most
of the clicks (Zipf). Some URLs carry tracking parameters or an upper-case host, and some records are broken, each in
one of BROKEN_KINDS.
"""

import contextlib
import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from os import getpid
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import zstandard
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from clickstream.io.errors import UserError
from clickstream.io.kafka_client import KafkaConnection, open_consumer
from clickstream.io.kafka_config import KafkaConfig, resolve_kafka_config

Progress: TypeAlias = Callable[[int, int], None]
Stop: TypeAlias = Callable[[], bool]
Rows: TypeAlias = npt.NDArray[Any]

BATCH = 10_000
_CONNECT_SECONDS, _PATIENCE_SECONDS = 10, 60
_PRODUCER_SETTINGS: KafkaConfig = {
    "compression.type": "lz4",
    "linger.ms": 50,
    "message.timeout.ms": _PATIENCE_SECONDS * 1000,
    "delivery.report.only.error": True,  # a call back for each record would cost more than the record
}
_UNREACHED = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001
_SLICE = 50_000  # clicks whose sessions are opened together
_TICK_SECONDS = 0.05
_MEAN_CLICKS = 4  # in a session
_LONGEST_DWELL = 1_500.0  # seconds: below the usual session gap of half an hour
_OTHER_PACKERS = (".bz2", ".xz", ".lzma", ".deflate", ".zip", ".lz4", ".7z")

_SESSION = np.dtype([("time", "f8"), ("user", "i4"), ("left", "i4"), ("landing", "?")])  # time: seconds after the start
_ROW = np.dtype(
    [
        ("arrival", "i8"),  # ms since the epoch, as is time
        ("time", "i8"),
        ("user", "i4"),
        ("page", "i4"),
        ("dress", "i1"),  # which of _DRESSES the URL wears
        ("spent", "i4"),  # tenths of a second; 0: not reported
        ("ends", "i4"),  # ms from the click to the session's end; 0: not reported
        ("broken", "i1"),  # which of BROKEN_KINDS; -1: sound
    ],
    align=True,
)

# A day's visits by hour, UTC.
_HOURS = (38, 30, 24, 20, 19, 22, 30, 42, 56, 68, 76, 80, 84, 86, 88, 90, 92, 95, 98, 100, 96, 84, 68, 52)
# Weight, country, cities; the largest first.
_PLACES = """22|United States|New York|Los Angeles|Chicago|Houston
18|India|Mumbai|Bengaluru|Delhi
8|Germany|Berlin|Hamburg|München
7|United Kingdom|London|Manchester
7|Brazil|São Paulo|Rio de Janeiro
6|Japan|Tokyo|Osaka
5|France|Paris|Lyon
4|Canada|Toronto|Montréal
4|Indonesia|Jakarta|Surabaya
3|Mexico|Mexico City|Guadalajara
3|Spain|Madrid|Barcelona
3|Italy|Milano|Roma
2|Australia|Sydney|Melbourne
2|Netherlands|Amsterdam|Rotterdam
2|Nigeria|Lagos|Abuja
1|Kenya|Nairobi|Mombasa
1|South Korea|Seoul|Busan
1|Poland|Warszawa|Kraków
1|Sweden|Stockholm|Göteborg
1|Côte d'Ivoire|Abidjan|Bouaké""".splitlines()
# Weight, browser, os, device.
_AGENTS = """28|Chrome Mobile|Android|smartphone
26|Chrome|Windows|desktop
18|Mobile Safari|iOS|smartphone
8|Safari|macOS|desktop
7|Edge|Windows|desktop
4|Firefox|Windows|desktop
3|Samsung Internet|Android|smartphone
3|Mobile Safari|iPadOS|tablet
2|Firefox|Linux|desktop
1|Opera|Windows|desktop""".splitlines()
# What a URL wears: weight on a session's first page, weight on its others, host, parameters or fragment.
_DRESSES = """66|940|https://www.example.com|
9|6|https://www.example.com|utm_source=newsletter&utm_medium=email
8|4|https://www.example.com|utm_source=google&utm_medium=cpc&utm_campaign=autumn
6|2|https://www.example.com|gclid=EAIaIQobChMI7dSx2K
5|2|https://www.example.com|fbclid=IwAR0mQx9zLkT4
1|20|https://www.example.com|#reviews
3|16|https://WWW.Example.com|
2|10|https://www.example.com:443|""".splitlines()
_CATEGORIES = ["shoes", "jackets", "kitchen", "garden", "books", "audio", "cameras", "toys", "travel", "bicycles"]
_THINGS = ["classic", "compact", "deluxe", "family", "light", "outdoor", "pocket", "premium", "trail", "urban"]

_URL, _COUNTRY = rb'"url":"[^"]*"', rb'"country":"[^"]*"'
_USER, _TIME = rb'"user_id":"[^"]*"', rb'"timestamp":"[^"]*"'
_CITY, _SPENT = rb'"city":"', rb',"time_spent":[0-9.]+'


def _swap(pattern: bytes, text: bytes) -> Callable[[bytes], bytes]:
    find = re.compile(pattern)
    return lambda record: find.sub(text, record, count=1)


def _with_time_spent(text: bytes) -> Callable[[bytes], bytes]:
    """Puts the time before the URL, after taking away another, so that no key comes twice."""
    drop, put = _swap(_SPENT, b""), _swap(rb',"url"', b',"time_spent":' + text + b',"url"')
    return lambda record: put(drop(record))


BROKEN_KINDS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda record: record[: len(record) // 2],
    "plain_text": lambda _: b"GET /index.html HTTP/1.1 200",
    "number": lambda _: b"42",
    "array": lambda record: b"[" + record + b"]",
    "two_records": lambda record: record + record,
    "nul_at_end": lambda record: record + b"\0",
    "deep_nesting": _swap(_USER, b'"user_id":' + b"[" * 2_000 + b"]" * 2_000),
    "invalid_utf8": _swap(_CITY, rb"\g<0>" + b"\xff\xfe"),
    "lone_surrogate": _swap(_CITY, rb"\g<0>\\ud800"),
    "number_user_id": _swap(_USER, b'"user_id":1234'),
    "empty_user_id": _swap(_USER, b'"user_id":""'),
    "missing_user_id": _swap(_USER + b",", b""),
    "missing_url": _swap(b"," + _URL, b""),
    "null_url": _swap(_URL, b'"url":null'),
    "javascript_url": _swap(_URL, b'"url":"javascript:alert(1)"'),
    "relative_url": _swap(_URL, b'"url":"/products/shoes"'),
    "missing_country": _swap(_COUNTRY + b",", b""),
    "empty_country": _swap(_COUNTRY, b'"country":""'),
    "number_country": _swap(_COUNTRY, b'"country":49'),
    "no_timestamp": _swap(_TIME, b'"timestamp":"yesterday"'),
    "impossible_date": _swap(_TIME, b'"timestamp":"2025-02-30T12:00:00.000Z"'),
    "far_future": _swap(_TIME, b'"timestamp":"2150-01-01T00:00:00.000Z"'),
    "nan_time_spent": _with_time_spent(b"NaN"),
    "negative_time_spent": _with_time_spent(b"-30.0"),
}


def _never() -> bool:
    return False


@dataclass(frozen=True)
class SampleOptions:
    """What the sample holds. The same options give the same bytes (with one version of numpy, on one kind of machine).

    Attributes:
        seed: Any whole number from 0; another one gives other clicks.
        events: How many records, broken ones included.
        users: How many visitors there are; few of them come often. Each has one place and one device.
        pages: How many pages there are, before tracking parameters.
        countries: From how many countries visitors come.
        start: When the first session may begin, with a time zone.
        duration_seconds: Sessions begin within this time from `start`; their last clicks may lie a little behind.
        broken_share: The share of records that are broken, evenly in each of BROKEN_KINDS.
        late_share: The share of records that arrive late, by a random time up to `late_by_seconds`.
        disorder_seconds: Every record arrives up to this time after its click, so that neighbours change places.
        flat: Fields side by side instead of in column families.

    Raises:
        ValueError: A value is out of bounds; the text names it.
    """

    seed: int = 1
    events: int = 200_000
    users: int = 20_000
    pages: int = 2_000
    countries: int = len(_PLACES)
    start: datetime = datetime(2025, 6, 2, tzinfo=timezone.utc)
    duration_seconds: float = 86_400.0
    broken_share: float = 0.002
    late_share: float = 0.0
    late_by_seconds: float = 600.0
    disorder_seconds: float = 2.0
    flat: bool = False

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**63 - 1),
            "events": (1, 10**12),
            "users": (1, 10**7),
            "pages": (1, 10**6),
            "countries": (1, len(_PLACES)),
            "duration_seconds": (1, 3_660 * 86_400),
            "broken_share": (0, 1),
            "late_share": (0, 1),
            "late_by_seconds": (0, 366 * 86_400),
            "disorder_seconds": (0, 86_400),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                message = f"{name} is {getattr(self, name)}: it goes from {least} to {most}"
                raise ValueError(message)
        if self.start.tzinfo is None or not 1970 < self.start.year < 2150:
            message = f"start is {self.start}: it takes a time zone, and a year from 1971 to 2149"
            raise ValueError(message)


def sample_records(options: SampleOptions) -> Iterator[list[bytes]]:
    """Yields the sample in order of arrival, 10,000 JSON records a batch, none with a newline inside.

    Event times are nearly in order: see `disorder_seconds` and `late_share`.
    """
    texts = _Texts(options, first_key=options.seed << 40)
    for rows in _batches(_Visits(options, _daily_curve(options)).rows()):
        yield texts.records(rows)


def live_records(options: SampleOptions, rate: float, stop: Stop = _never) -> Iterator[list[bytes]]:
    """Yields records stamped with the present time, `rate` a second, until `events` are out or `stop` returns True.

    A batch comes every 50 ms, or as soon as the reader asks if it fell behind. `start` and `duration_seconds` play no
    part; late records carry an older time. Row keys differ from run to run.
    """
    visits = _Visits(options, lambda shares: shares * (options.events / rate))
    texts = _Texts(options, first_key=time.time_ns())
    began, sent = time.monotonic(), 0
    for rows in visits.rows():
        done = 0
        while done < len(rows):
            if stop():
                return
            due = int((time.monotonic() - began) * rate) + 1 - sent
            if due <= 0:
                time.sleep(_TICK_SECONDS)
                continue
            taken = rows[done : done + min(due, BATCH)]
            taken["time"] += _stamps(len(taken), rate) - taken["arrival"]
            yield texts.records(taken)
            done, sent = done + len(taken), sent + len(taken)


def write_log(path: str | Path, options: SampleOptions, progress: Progress | None = None) -> int:
    """Writes the sample as newline-delimited JSON, packed if the name ends in .gz or .zst.

    The same options give the same bytes. The file appears under its name when it is whole: an interrupted run leaves
    none, and an earlier one as it was.

    Args:
        path: The file; its folder must be there.
        options: What it holds.
        progress: Called after each batch with the records and bytes (unpacked) so far.

    Returns:
        The number of records.

    Raises:
        UserError: The file can't be written there.
    """
    target = _checked_target(Path(path))
    unfinished = target.with_name(f".{target.name}.{getpid()}.part")
    meter = _Meter(progress)
    try:
        with _packed(unfinished, target.suffix.lower()) as file:
            for batch in sample_records(options):
                file.write(b"\n".join(batch) + b"\n")
                meter.count(batch, line_ends=True)
        unfinished.replace(target)
    except OSError as error:
        message = f"{path} can't be written ({error.strerror or error}): check permissions and the space left."
        raise UserError(message) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return meter.records


def feed_topic(
    bootstrap_servers: str,
    topic: str,
    options: SampleOptions,
    rate: float | None = None,
    *,
    create_topic: bool = False,
    config: KafkaConfig | None = None,
    progress: Progress | None = None,
    stop: Stop = _never,
) -> int:
    """Sends the sample to a Kafka topic, keyed by user, so that a user's clicks stay in one partition.

    Args:
        bootstrap_servers: `host:port`, several with commas.
        topic: Its name.
        options: What is sent.
        rate: Records a second, stamped with the present time. None: as fast as possible, times as in `sample_records`.
        create_topic: Makes the topic, with four partitions, if there is none.
        config: Further librdkafka settings, secrets as `env:NAME` or `file:PATH`.
        progress: Called after each batch with the records and bytes handed over so far.
        stop: Ends it in order, once it returns True: what was handed over is waited for.

    Returns:
        The number of records in the topic, each confirmed by the brokers, once.

    Raises:
        UserError: No broker answers, the topic can't be had, or a record isn't confirmed within a minute.
    """
    connection = KafkaConnection(bootstrap_servers, "generate", config or {})
    _check_topic(connection, topic, create_topic=create_topic)
    feed = _Feed(replace(connection, config={**_PRODUCER_SETTINGS, **connection.config}), topic)
    meter = _Meter(progress)
    for batch in sample_records(options) if rate is None else live_records(options, rate, stop):
        feed.send(batch, stop)
        meter.count(batch)
        if stop():
            break
    return feed.finish()


def _daily_curve(options: SampleOptions) -> Callable[[Rows], Rows]:
    """When sessions begin: maps shares of all sessions to seconds after the start."""
    grid = np.linspace(0, options.duration_seconds, int(options.duration_seconds // 600) + 2)
    hours = (options.start.timestamp() + grid) / 3_600 % 24
    weight = np.interp(hours, np.arange(25), [*_HOURS, _HOURS[0]])
    shares = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
    return lambda asked: np.interp(asked, shares / shares[-1], grid)


class _Visits:
    """Visitors going about the site. `opening` maps shares of all clicks to seconds after the start."""

    def __init__(self, options: SampleOptions, opening: Callable[[Rows], Rows]) -> None:
        self._options = options
        self._opening = opening
        self._random = np.random.default_rng(options.seed)
        self._start = round(options.start.timestamp() * 1000)
        self._pages = _shares(1 / np.arange(1, options.pages + 1))
        self._first_dress, self._other_dress = (
            _shares([float(dress.split("|")[i]) for dress in _DRESSES]) for i in (0, 1)
        )

    def rows(self) -> Iterator[Rows]:
        """Yields clicks (_ROW) by arrival; memory holds the open sessions and the records on their way."""
        opened, sessions, on_the_way = 0, np.empty(0, _SESSION), np.empty(0, _ROW)
        while opened < self._options.events or len(sessions):
            last = min(opened + _SLICE, self._options.events)
            if opened < last:
                sessions = np.concatenate([sessions, self._opened(opened, last)])
            until, opened = self._until(last, sessions), last
            sessions, clicks = self._browse(sessions, until)
            rows = np.concatenate([on_the_way, *clicks])
            ready = rows["arrival"] < np.floor(self._start + until * 1000)
            arrived, on_the_way = rows[ready], rows[~ready]
            yield arrived[np.argsort(arrived["arrival"], kind="stable")]

    def _until(self, opened: int, sessions: Rows) -> float:
        """Seconds after the start before which all sessions are open; infinite for the last ones."""
        if opened < self._options.events:
            return float(self._opening(np.float64(opened / self._options.events)))
        return float(np.partition(sessions["time"], _SLICE)[_SLICE]) if len(sessions) > _SLICE else np.inf

    def _opened(self, first: int, last: int) -> Rows:
        """New sessions that will have `last - first` clicks between them."""
        ends = np.cumsum(self._random.geometric(1 / _MEAN_CLICKS, last - first))
        count = int(np.searchsorted(ends, last - first)) + 1
        ends[count - 1] = last - first
        sessions = np.empty(count, _SESSION)
        sessions["left"] = np.diff(ends[:count], prepend=0)
        sessions["time"] = self._opening((first + self._random.random(count) * (last - first)) / self._options.events)
        sessions["user"] = self._options.users * self._random.random(count) ** 2
        sessions["landing"] = True
        return sessions

    def _browse(self, sessions: Rows, until: float) -> tuple[Rows, list[Rows]]:
        """Lets visitors click until then. Returns the sessions still open, and the clicks."""
        waiting, clicks = [], []
        while len(sessions):
            due = sessions["time"] < until
            waiting.append(sessions[~due])
            sessions = sessions[due]
            clicks.append(self._click(sessions))
            sessions = sessions[sessions["left"] > 0]
        return np.concatenate(waiting), clicks

    def _click(self, sessions: Rows) -> Rows:
        """One click in each session, which then waits for its next."""
        draw, options, count = self._random, self._options, len(sessions)
        dwell = np.clip(draw.lognormal(3.2, 1.1, count), 1.0, _LONGEST_DWELL)
        stays, chance = sessions["left"] > 1, draw.random(count)
        first, other = np.searchsorted(self._first_dress, chance), np.searchsorted(self._other_dress, chance)
        rows = np.empty(count, _ROW)
        rows["time"] = self._start + sessions["time"] * 1000
        rows["arrival"] = rows["time"] + self._delay(count)
        rows["user"] = sessions["user"]
        rows["page"] = np.searchsorted(self._pages, draw.random(count))
        rows["dress"] = np.where(sessions["landing"], first, other)
        rows["spent"] = np.where(stays, dwell * 10, 0)
        rows["ends"] = np.where(~stays & (draw.random(count) < 0.6), dwell * 1000, 0)
        rows["broken"] = np.where(
            draw.random(count) < options.broken_share, draw.integers(len(BROKEN_KINDS), size=count), -1
        )
        sessions["time"] += dwell
        sessions["left"] -= 1
        sessions["landing"] = False
        return rows

    def _delay(self, count: int) -> Rows:
        """From click to arrival, ms."""
        draw, options = self._random, self._options
        late = np.where(draw.random(count) < options.late_share, draw.random(count) * options.late_by_seconds, 0)
        return (late + draw.random(count) * options.disorder_seconds) * 1000


class _Texts:
    """Writes rows as JSON, column by column: every piece of text is made once and then only copied."""

    def __init__(self, options: SampleOptions, *, first_key: int) -> None:
        draw = np.random.default_rng([options.seed, 1])
        self._next_key = first_key
        self._flat = options.flat
        shares, places = _weighted(_cities(_PLACES[: options.countries]))
        self._place_of = draw.choice(len(shares), options.users, p=shares).astype(np.int16)
        self._places = _json_fields("country city", places)
        shares, agents = _weighted(_AGENTS)
        self._agent_of = draw.choice(len(shares), options.users, p=shares).astype(np.int16)
        self._agents = _json_fields("browser os device", agents)
        paths = [_path(page) for page in range(options.pages)]
        self._paths, self._has_query = pa.array(paths), np.array(["?" in path for path in paths])
        hosts, extras = zip(*(dress.split("|")[2:] for dress in _DRESSES), strict=True)
        self._hosts = pa.array(hosts)
        self._endings = pa.array([_ending(extra, mark) for mark in "?&" for extra in extras])
        spent = (f',"time_spent":{tenths / 10}' for tenths in range(1, int(_LONGEST_DWELL * 10) + 1))
        self._spent = pa.array(["", *spent])

    def records(self, rows: Rows) -> list[bytes]:
        """One JSON record a row, the broken ones broken."""
        geo, agent, end = (",", ",", "}\n") if self._flat else ('},"geo_data":{', '},"user_agent_data":{', "}}\n")
        text = pc.binary_join_element_wise(
            '{"row_key":"',
            self._keys(len(rows)),
            '",' if self._flat else '","click_data":{',
            '"user_id":"user-',
            pa.array(rows["user"]).cast(pa.string()),
            '","timestamp":"',
            _iso(rows["time"]),
            '","url":"',
            self._hosts.take(pa.array(rows["dress"])),
            self._paths.take(pa.array(rows["page"])),
            self._endings.take(pa.array(rows["dress"] + len(_DRESSES) * self._has_query[rows["page"]])),
            '"',
            self._spent.take(pa.array(rows["spent"])),
            _session_ends(rows),
            geo,
            self._places.take(pa.array(self._place_of[rows["user"]])),
            agent,
            self._agents.take(pa.array(self._agent_of[rows["user"]])),
            end,
            "",
        )
        records = _lines(text)
        kinds = list(BROKEN_KINDS.values())
        for index in np.flatnonzero(rows["broken"] >= 0):
            records[index] = kinds[rows["broken"][index]](records[index])
        return records

    def _keys(self, count: int) -> pa.Array:
        """The next keys: 16 hexadecimal digits, no two alike, in no visible order."""
        numbers = np.arange(count, dtype=np.uint64) + np.uint64(self._next_key % 2**64)
        self._next_key += count
        # Each step can be undone, so that different numbers stay different.
        mixed = (numbers ^ numbers >> np.uint64(29)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        digits = mixed.astype(">u8").tobytes().hex().encode()
        offsets = np.arange(0, 16 * count + 1, 16, dtype=np.int32)
        return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(digits))


@dataclass
class _Meter:
    """Counts records and bytes, and tells."""

    progress: Progress | None
    records: int = field(default=0, init=False)
    size: int = field(default=0, init=False)

    def count(self, batch: list[bytes], *, line_ends: bool = False) -> None:
        self.records += len(batch)
        self.size += sum(map(len, batch)) + len(batch) * line_ends
        if self.progress:
            self.progress(self.records, self.size)


class _Feed:
    """An idempotent producer. Says so as soon as it knows that a record wasn't confirmed."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._find_user = re.compile(rb'"user_id":"([^"]+)"').search
        self._failure: KafkaError | None = None
        self._sent = 0
        self._producer = connection.producer(lambda _: None)  # of what passes; what doesn't fails a record

    def send(self, batch: Iterable[bytes], stop: Stop) -> None:
        """Hands records over; waits while the queue is full."""
        for record in batch:
            user = self._find_user(record)
            key = user[1] if user else None
            while not self._accepted(record, key):
                self._poll(0.1)
                if stop():
                    return
        self._poll(0)

    def finish(self) -> int:
        """Waits for the rest. Returns how many were confirmed: all."""
        left = self._producer.flush(_PATIENCE_SECONDS + 5)
        self._failure = self._failure or (KafkaError(KafkaError._TIMED_OUT) if left else None)  # noqa: SLF001
        self._poll(0)
        return self._sent

    def _accepted(self, record: bytes, key: bytes | None) -> bool:
        """Whether there was room in the queue."""
        try:
            self._producer.produce(self._topic, record, key, on_delivery=self._on_failure)
        except BufferError:
            return False
        except KafkaException as error:
            raise self._connection.explain(error.args[0], self._topic) from None
        self._sent += 1
        return True

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise self._connection.explain(self._failure, self._topic)

    def _on_failure(self, error: KafkaError, _: object) -> None:
        away = error.code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001
        self._failure = self._failure or (KafkaError(KafkaError._TIMED_OUT) if away else error)  # noqa: SLF001


def _check_topic(connection: KafkaConnection, topic: str, *, create_topic: bool) -> None:
    try:
        with open_consumer(connection) as consumer:
            consumer.topic(topic)
    except UserError as error:
        if not create_topic:
            raise
        _create_topic(connection, topic, why=error)


def _create_topic(connection: KafkaConnection, topic: str, *, why: UserError) -> None:
    """Makes it, if it's only that which was wrong."""
    quiet = {"log_level": 0, "bootstrap.servers": connection.bootstrap_servers}
    admin = AdminClient({**quiet, **resolve_kafka_config(connection.config)})
    try:
        admin.create_topics([NewTopic(topic, num_partitions=4)], request_timeout=_CONNECT_SECONDS)[topic].result()
    except KafkaException as error:
        cause = error.args[0]
        raise why if cause.code() in _UNREACHED else connection.explain(cause, topic) from None


def _batches(chunks: Iterable[Rows]) -> Iterator[Rows]:
    rest = np.empty(0, _ROW)
    for chunk in chunks:
        rows = np.concatenate([rest, chunk])
        whole = len(rows) - len(rows) % BATCH
        yield from np.split(rows[:whole], range(BATCH, whole, BATCH)) if whole else ()
        rest = rows[whole:]
    if len(rest):
        yield rest


def _stamps(count: int, rate: float) -> Rows:
    """Arrival times of records that fell due just now, ms since the epoch."""
    ages = np.minimum(np.arange(count)[::-1] * 1000 / rate, _TICK_SECONDS * 1000)
    return (time.time() * 1000 - ages).astype(np.int64)


def _shares(weights: npt.ArrayLike) -> Rows:
    """Cumulated shares, for drawing by `searchsorted`."""
    sums = np.cumsum(weights)
    return sums / sums[-1]


def _weighted(table: list[str]) -> tuple[Rows, list[list[str]]]:
    """Shares and texts of lines that begin with a weight."""
    weights, texts = zip(*((float(weight), rest) for weight, *rest in (line.split("|") for line in table)), strict=True)
    return np.array(weights) / sum(weights), list(texts)


def _cities(places: list[str]) -> list[str]:
    """A line for each city; a country's first city is its largest."""
    lines = [line.split("|") for line in places]
    return [f"{float(weight) / n}|{name}|{city}" for weight, name, *cities in lines for n, city in enumerate(cities, 1)]


def _json_fields(names: str, texts: list[list[str]]) -> pa.Array:
    """`"name":"value",…` without braces, for each list of values."""
    pairs = [dict(zip(names.split(), values, strict=True)) for values in texts]
    return pa.array([json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1] for fields in pairs])


def _path(page: int) -> str:
    thing, category = _THINGS[page % len(_THINGS)], _CATEGORIES[page // 10 % len(_CATEGORIES)]
    if page == 0:
        return "/"
    if page % 10 < 6:
        return f"/products/{category}/{thing}-{page}"
    if page % 10 < 8:
        return f"/blog/2025/{page % 12 + 1:02d}/{thing}-{category}-{page}"
    return f"/search?q={thing}+{category}&page={page}" if page % 2 else f"/help/{category}/article-{page}"


def _ending(extra: str, mark: str) -> str:
    """What a dress appends to a path whose parameters, if any, are continued by `mark`."""
    return extra if not extra or extra.startswith("#") else mark + extra


def _iso(millis: Rows) -> pa.Array:
    """`2025-06-02T12:34:56.789Z`."""
    texts = pa.array(millis).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def _session_ends(rows: Rows) -> pa.Array:
    """`,"session_end":"…"` where the row has one."""
    has = rows["ends"] > 0
    ends = pc.binary_join_element_wise(',"session_end":"', _iso(rows["time"][has] + rows["ends"][has]), '"', "")
    return pa.concat_arrays([pa.array([""]), ends]).take(pa.array(np.where(has, np.cumsum(has), 0)))


def _lines(text: pa.Array) -> list[bytes]:
    """The texts, each of which ends in its only newline, without it."""
    end = text.offset + len(text)
    _, offsets, data = text.buffers()
    size = int(np.frombuffer(offsets, np.int32)[end])
    return bytes(data.slice(0, size)).split(b"\n")[:-1]


def _checked_target(path: Path) -> Path:
    """The file itself, behind links.

    Raises:
        UserError: It can't be a sample's file.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        message = f"{path} is a folder or a device: name a file, such as clicks.ndjson."
    elif not target.parent.is_dir():
        message = f"{path} can't be written: there is no folder {target.parent}; create it first."
    elif target.suffix.lower() in _OTHER_PACKERS:
        message = f"{path} can't be written: samples are packed as .gz or .zst, or not at all (.ndjson)."
    else:
        return target
    raise UserError(message)


@contextlib.contextmanager
def _packed(path: Path, kind: str) -> Iterator[BinaryIO]:
    """A new file to write to, which packs as `kind` (.gz, .zst, other: not) says."""
    with path.open("xb") as file:
        if kind == ".gz":
            # Name and time stay out of the header, so that the same sample gives the same file.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packer:
                yield packer  # type: ignore[misc]
        elif kind == ".zst":
            with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) as packer:
                yield packer
        else:
            yield file
