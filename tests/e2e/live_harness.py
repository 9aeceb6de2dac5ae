"""The live job as users run it, a process of its own; and the topic that it reads, fed and read by clients of the tests' own."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from clickstream.io.sample import SampleOptions, live_records

PARTITIONS = 4
QUIET = {"log_level": 0}
FULL = os.environ.get("CLICKSTREAM_FULL") == "1"  # the long form: 1,000,000 events, 20 kills, outages of 60 s
# Rows of several clicks each: with as many as the sample has, tests would mostly wait for the stores.
FEW = {"pages": 100, "countries": 5}
PATIENCE = 3  # how many times longer a shared machine may take: to wait longer costs only what fails anyway


class Record(NamedTuple):
    """A record of the topic; `millis` is when it was produced."""

    partition: int
    offset: int
    millis: int
    value: bytes


@dataclass
class Topic:
    """A topic of four partitions; records go to one after the other."""

    servers: str
    name: str
    _sent: int = 0

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                **QUIET,
                "bootstrap.servers": self.servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                # After an outage the broker is seen again at once: else the topic is quiet, and the job may take it for idle.
                "reconnect.backoff.max.ms": 500,
            }
        )

    def send(self, records: Iterable[bytes]) -> None:
        for record in records:
            while True:
                try:
                    self._producer.produce(self.name, record, partition=self._sent % PARTITIONS)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._sent += 1
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(120) == 0

    @contextlib.contextmanager
    def transaction(self, records: Iterable[bytes], *, commit: bool = True) -> Iterator[None]:
        """These are in the first partition while the block lasts, in a transaction that is open; then they count, or never do."""
        producer = Producer({**QUIET, "bootstrap.servers": self.servers, "transactional.id": secrets.token_hex(8)})
        producer.init_transactions(30)
        producer.begin_transaction()
        for record in records:
            producer.produce(self.name, record, partition=0)
        assert producer.flush(60) == 0
        yield
        (producer.commit_transaction if commit else producer.abort_transaction)(60)

    @contextlib.contextmanager
    def fed(self, options: SampleOptions, rate: float) -> Iterator[None]:
        """Sends records of the present while the block lasts, however it ends; then waits until all are in."""
        over = threading.Event()
        batches = live_records(options, rate, over.is_set)
        feed = threading.Thread(target=lambda: [self.send(batch) for batch in batches])
        feed.start()
        try:
            yield
        finally:
            over.set()
            feed.join()
            self.flush()

    def records(self) -> list[Record]:
        """All that is there."""
        settings = {"bootstrap.servers": self.servers, "group.id": "tests", "fetch.queue.backoff.ms": 2}
        consumer = Consumer({**QUIET, **settings, "enable.partition.eof": True})
        ends = [consumer.get_watermark_offsets(TopicPartition(self.name, p), timeout=30)[1] for p in range(PARTITIONS)]
        consumer.assign([TopicPartition(self.name, p, 0) for p in range(PARTITIONS)])
        found: list[Record] = []
        reached = [0] * PARTITIONS
        while any(at < end for at, end in zip(reached, ends, strict=True)):
            for message in consumer.consume(10_000, 1):
                error = message.error()
                if error and error.code() == KafkaError._PARTITION_EOF:
                    reached[message.partition()] = message.offset()  # behind transactions' markers too
                    continue
                assert not error, error
                found.append(
                    Record(message.partition(), message.offset(), message.timestamp()[1], bytes(message.value()))
                )
        consumer.close()
        return [record for record in found if record.offset < ends[record.partition]]

    def committed(self, group: str) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where there is none."""
        consumer = Consumer({**QUIET, "bootstrap.servers": self.servers, "group.id": group})
        found = consumer.committed([TopicPartition(self.name, p) for p in range(PARTITIONS)], timeout=30)
        consumer.close()
        return {each.partition: max(each.offset, 0) for each in found}


@dataclass
class LiveJob:
    """`python -m clickstream.pipeline` with these arguments, in a neutral folder; what it says goes to files there."""

    arguments: list[str]
    folder: Path
    password: str = ""
    _mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def start(self) -> None:
        self.tmpdir.mkdir(exist_ok=True)
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clickstream.pipeline", *self.arguments],
                cwd=self.folder,
                env={
                    **os.environ,
                    "TMPDIR": str(self.tmpdir),
                    "TEST_SQL_PASSWORD": self.password,
                    "POLARS_MAX_THREADS": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def run(self, seconds: float = 240) -> int:
        """Runs it to its end; returns the exit status."""
        self.start()
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def stop(self, name: signal.Signals) -> tuple[int, float]:
        """Signals its process group, as a terminal or a service manager does; returns exit status and seconds taken."""
        began = time.monotonic()
        os.killpg(self.process.pid, name)
        return self.process.wait(60), time.monotonic() - began

    def kill(self) -> None:
        """`kill -9` of all its processes, at whatever they are."""
        while found := self.processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.02)
        self.process.wait()

    def processes(self) -> list[int]:
        """All that is running of it: supervisor, job, runner; told by a variable that they inherit."""
        found, mark = [], f"TMPDIR={self.tmpdir}".encode()
        for place in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if place.name.isdigit() and mark in (place / "environ").read_bytes():
                    found.append(int(place.name))
        return found

    @property
    def tmpdir(self) -> Path:
        """Where it may leave what it needs for a while; by it its processes are known too."""
        return self.folder / f"tmp-{self._mark}"

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def wait_until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits for something while the job runs; `seconds` are those of a quiet machine."""
        seconds *= PATIENCE
        asked = time.monotonic()
        deadline = asked + seconds
        while not true():
            assert self.process.poll() is None, f"The job ended while waiting for {what}:\n{self.err}"
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{self.err[-5000:]}"
            # What asks for all rows mustn't slow what it waits for.
            time.sleep(max(0.5, 2 * (time.monotonic() - asked)))
            asked = time.monotonic()
