"""Beam's own Kafka reader, which is Java: for runners where the Java SDK is at home. Needs Java and Beam's expansion service."""

import logging
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import apache_beam as beam
import grpc  # type: ignore[import-untyped]
from apache_beam.io.kafka import ReadFromKafka as JavaReader
from apache_beam.io.kafka import default_io_expansion_service
from apache_beam.transforms.external import JavaJarExpansionService
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue
from apache_beam.version import __version__ as beam_version

from clickstream.io.errors import UserError
from clickstream.io.kafka.config import KafkaConfig, check_kafka_config
from clickstream.io.kafka.read import start_time
from clickstream.transforms.schema import RawBatch

_CONNECT_SECONDS = 5.0
_REFERENCE = re.compile("(env|file):.")
_WAYS_OUT = (
    "give the address of an expansion service that is running, --kafka_expansion_service=HOST:PORT, or leave Java out with "
    "--kafka_reader=native."
)


@dataclass(eq=False)
class ReadFromKafkaByJava(beam.PTransform):
    """Reads a topic, for ever, by Beam's cross-language `ReadFromKafka`, as batches of undecoded records.

    Out: an unbounded PCollection of `RawBatch`, records of one partition and one bundle each, in the order in which they
    came, at the time of their earliest record, without span or watermark.

    What it can't promise, unlike `clickstream.io.kafka.ReadFromKafka`:

    - No offsets are committed. Beam's reader could commit when a bundle is done, which is before a sink has its
      windows: a crash would lose them. A job that is started anew begins at `start`; one that its runner restores (a
      Flink savepoint, a Dataflow update) goes on where its checkpoint stood. Whole windows read again change no row.
    - The watermark follows the records' own times (CreateTime, no bound for disorder), not the clicks', and the clock as soon
      as there is nothing to read. A click whose window, by that watermark, expired is dropped by the runner, and counted by
      it alone (`droppedDueToLateness`), not among `too_late`.
    - Each partition is an element: a runner with one watermark a stage (Prism) loses events of all but one partition.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas; as the Java workers see them.
        topic: The topic.
        group_id: The group whose committed offsets are read if `start` is `committed`.
        start: As for the native reader.
        expansion_service: `HOST:PORT` of a running one, or the path of its jar; None: Beam's own download.
        batch_records: The most records a batch.
        kafka_config: Further settings of Java's consumer. They travel in the job: no secrets.

    Raises:
        UserError: An option can't be; while the graph is built, there is no Java, no jar or no service, or it refuses.
    """

    bootstrap_servers: str
    topic: str
    group_id: str
    start: str = "committed"
    expansion_service: str | None = None
    batch_records: int = 10_000
    kafka_config: KafkaConfig = field(default_factory=dict)

    def __post_init__(self) -> None:
        start_time(self.start)
        check_java_config(self.kafka_config)

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        with expansion_errors(self.expansion_service):
            records = root | "Records" >> JavaReader(
                consumer_config=self.consumer_config(),
                topics=[self.topic],
                start_read_time=self._start_ms(),
                timestamp_policy=JavaReader.create_time_policy,
                with_metadata=True,
                expansion_service=expansion_service(self.expansion_service),
            )
        return records | "Batches" >> beam.ParDo(BatchRecords(self.batch_records)).with_output_types(RawBatch)

    def consumer_config(self) -> dict[str, str]:
        """The settings of Java's consumer."""
        begin = {"auto.offset.reset": "latest" if self.start == "latest" else "earliest", "enable.auto.commit": "false"}
        group = {"group.id": self.group_id} if self.start == "committed" else {}
        given = {name: str(value) for name, value in self.kafka_config.items()}
        return {**given, "bootstrap.servers": self.bootstrap_servers, **begin, **group}

    def _start_ms(self) -> int | None:
        moment = start_time(self.start)
        return moment if moment is not None and moment >= 0 else None


class BatchRecords(beam.DoFn):
    """Rows of Beam's reader (topic, partition, offset, timestamp, value) to `RawBatch`, one partition of a bundle each."""

    def __init__(self, batch_records: int) -> None:
        self._batch_records = batch_records

    def start_bundle(self) -> None:
        self._batches: dict[str, tuple[list[bytes], list[int], list[int]]] = {}

    def process(self, row: Any) -> Iterator[WindowedValue]:
        if row.value is None:  # a tombstone: its key is gone
            return
        source = f"kafka:{row.topic}/{row.partition}"
        values, positions, timestamps = self._batches.setdefault(source, ([], [], []))
        values.append(row.value)
        positions.append(row.offset)
        timestamps.append(row.timestamp)
        if len(values) >= self._batch_records:
            yield self._taken(source)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for source in list(self._batches):
            yield self._taken(source)

    def _taken(self, source: str) -> WindowedValue:
        values, positions, timestamps = self._batches.pop(source)
        earliest = Timestamp(micros=max(0, min(timestamps)) * 1000)
        return WindowedValue(RawBatch(values, source, positions, timestamps), earliest, [GlobalWindow()])


def check_java_config(config: KafkaConfig) -> None:
    """Refuses what mustn't travel in a job.

    Raises:
        UserError: A setting is a secret, or see `check_kafka_config`.
    """
    check_kafka_config(config)
    for name, value in config.items():
        if _REFERENCE.match(str(value)):
            message = (
                f"Kafka setting {name} can't be a reference with --kafka_reader=java, as it would travel in the job in clear: "
                "let the Java workers have a JAAS file, or use --kafka_reader=native."
            )
            raise UserError(message)


def expansion_service(where: str | None) -> Any:
    """What Beam is to ask for the Java part: `HOST:PORT`, the path of a jar, or None for the jar that Beam downloads.

    Raises:
        UserError: There is no Java, no such file, or nobody listens there.
    """
    if where and not Path(where).is_file() and ":" in where:
        _check_listening(where)
        return where
    if where and not zipfile.is_zipfile(where):
        message = f"--kafka_expansion_service={where} is no jar: name that of Beam {beam_version}, {_WAYS_OUT}"
        raise UserError(message)
    _check_java()
    return JavaJarExpansionService(where) if where else default_io_expansion_service()


def _check_listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        message = f"No expansion service at --kafka_expansion_service={address} ({error}): start that of Beam {beam_version}, {_WAYS_OUT}"
        raise UserError(message) from None


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(os.path.join(home, "bin", "java")) if home else shutil.which("java")  # as Beam looks for it
    if not found:
        where = f"JAVA_HOME={home} has none" if home else "there is none on PATH"
        message = f"--kafka_reader=java needs Java, and {where}: install Java 11 or later, {_WAYS_OUT}"
        raise UserError(message)


@contextmanager
def expansion_errors(where: str | None) -> Iterator[None]:
    """Tells in one line why the Java part can't be had; Beam would say it at length, several times."""
    beams = logging.getLogger("apache_beam.utils.subprocess_server")
    level = beams.level
    beams.setLevel(logging.CRITICAL)
    try:
        yield
    except (RuntimeError, URLError, OSError, grpc.RpcError, grpc.FutureTimeoutError) as error:
        what = f"The expansion service {where}" if where else f"Beam's expansion service {beam_version}"
        said = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        message = f"{what} can't be used ({said[:200]}): start that of Beam {beam_version} yourself and {_WAYS_OUT}"
        raise UserError(message) from None
    finally:
        beams.setLevel(level)
