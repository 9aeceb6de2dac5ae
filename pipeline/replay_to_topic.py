"""Dead letters of a live job back into its topic: the bytes that count as clicks now; the others stay where they are.

At least once: a record's dead letter goes only when the brokers have confirmed the record, so a crash in between sends that record
again at the next replay, and the live job then counts it twice. The same goes for a record that the job itself has read
again meanwhile and accepted (restarted with other options, before its offset was committed).

Dead letters of a job with --hash_user_ids hold pseudonyms: that job takes them for what they are. One without the option, or with another key,
would take them for users of their own. Bytes that were withheld stay dead letters.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.kafka import (
    ANY_PARTITION,
    ConfirmedWriter,
    DeadLetterReader,
    KafkaConnection,
    KafkaLetter,
    Record,
    load_kafka_config,
    open_consumer,
)
from clickstream.io.sql import SqlConnection, delete_dead_letters, read_dead_letters
from clickstream.pipeline.options import KafkaOptions
from clickstream.pipeline.settings import parse_options
from clickstream.pipeline.sinks import dead_letters_of
from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse import parse_clicks

ACCEPTED, REFUSED, TOO_LATE, IN_PARTS = "accepted", "refused", "too late", "in parts"


def replay_to_topic(options: PipelineOptions) -> int:
    """Produces to `--topic` what is a click now of the dead letters in the database or topic of the live job.

    From a database, dead letters that were produced are deleted. From a topic, the group `GROUP-replay` reads to its end as
    of now; what still isn't a click is produced to its end once more before the group's offsets are committed.
    A click of a window that the live job has closed would be dropped by it: it stays a dead letter.

    Returns:
        The exit status.

    Raises:
        UserError: An option is missing, or a server can't be reached or refuses.
    """
    connection, topic = _place(options)
    letters = dead_letters_of(options)
    judge, writer = Judge(parse_options(options, live=True), connection, topic), ConfirmedWriter(connection, topic)
    sys.stdout.write(summary(_replay(letters, connection, judge, writer), topic))
    return 0


def _replay(
    letters: SqlConnection | str, connection: KafkaConnection, judge: "Judge", writer: ConfirmedWriter
) -> Counter[str]:
    if isinstance(letters, str):
        return _from_topic(letters, connection, judge, writer)
    return _from_database(letters, judge, writer)


def summary(counts: Counter[str], topic: str) -> str:
    """One line on what became of the dead letters."""
    stay = ((REFUSED, "still refused"), (TOO_LATE, "too late for the job"), (IN_PARTS, "incomplete"))
    notes = [f"{counts[kind]} {name}" for kind, name in stay if counts[kind]]
    notes += [f"{counts[kind]} {kind}" for kind in ("expired unread", "messages were no dead letters") if counts[kind]]
    return (
        f"Dead letters now accepted and sent to {topic}: {counts[ACCEPTED]}" + "".join(f"; {n}" for n in notes) + "\n"
    )


class Judge:
    """Says what the live job would do with records today."""

    def __init__(self, options: ParseOptions, connection: KafkaConnection, topic: str) -> None:
        self._options, self._topic = replace(options, user_key=None), topic  # a verdict is the same for a pseudonym
        with open_consumer(connection) as consumer:
            self._partitions = consumer.partitions(topic)
            committed = consumer.committed(topic, self._partitions).values()
        self._complete_until = max((found.complete_until for found in committed if found), default=None)

    def verdicts(self, values: Sequence[bytes]) -> list[str]:
        """ACCEPTED, REFUSED or TOO_LATE for each of these."""
        now_ms = int(time.time() * 1000)
        batch = RawBatch(values, "replay", range(len(values)), watermark=self._complete_until)
        parsed = parse_clicks(batch, self._options, now_ms=now_ms)
        refused = set(parsed.rejected["position"].to_pylist())
        if parsed.too_late.num_rows == 0 or len(values) == 1:
            kept = TOO_LATE if parsed.too_late.num_rows else ACCEPTED
            return [REFUSED if number in refused else kept for number in range(len(values))]
        return [REFUSED if n in refused else self.verdicts([value])[0] for n, value in enumerate(values)]

    def home(self, source: str) -> int:
        """The partition where a record of that source was, if it was of this topic: its neighbours are there."""
        place, _, partition = source.rpartition("/")
        ours = place == f"kafka:{self._topic}" and int(partition) in self._partitions
        return int(partition) if ours else ANY_PARTITION


def _place(options: PipelineOptions) -> tuple[KafkaConnection, str]:
    kafka = options.view_as(KafkaOptions)
    if not (kafka.bootstrap_servers and kafka.topic):
        message = "--bootstrap_servers or --topic is missing: name the topic of the live job, where accepted clicks go back to."
        raise UserError(message)
    config = load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {}
    return KafkaConnection(kafka.bootstrap_servers, kafka.group_id, config), kafka.topic


def _from_database(letters: SqlConnection, judge: Judge, writer: ConfirmedWriter) -> Counter[str]:
    if letters.is_sqlite and not Path(letters.database).is_file():
        message = f"There are no dead letters in {letters.database}: name their place with --mysql or --dead_letters."
        raise UserError(message)
    counts: Counter[str] = Counter()
    for page in read_dead_letters(letters):
        verdicts = judge.verdicts(page["raw"].to_pylist())
        counts.update(verdicts)
        accepted = page.filter(pa.array([verdict == ACCEPTED for verdict in verdicts]))
        source, raw, key = (accepted[name].to_pylist() for name in ("source", "raw", "dead_letter_id"))
        writer.send(Record(value, None, judge.home(place)) for value, place in zip(raw, source, strict=True))
        delete_dead_letters(letters, key)
    return counts


def _from_topic(letters: str, connection: KafkaConnection, judge: Judge, writer: ConfirmedWriter) -> Counter[str]:
    if letters == writer.topic:
        message = f"--dead_letters=kafka:{letters} is the topic of the clicks: name the one of the dead letters."
        raise UserError(message)
    reader = DeadLetterReader(replace(connection, group_id=f"{connection.group_id}-replay"), letters)
    back = ConfirmedWriter(connection, letters)
    counts: Counter[str] = Counter()
    for batch in reader.batches():
        verdicts = _verdicts(batch, judge)
        counts.update(verdicts)
        judged = list(zip(batch, verdicts, strict=True))
        writer.send(Record(x.raw, None, judge.home(x.source)) for x, verdict in judged if x.raw and verdict == ACCEPTED)
        back.send(message for x, verdict in judged if verdict != ACCEPTED for message in x.messages)
    return counts + Counter({"expired unread": reader.expired, "messages were no dead letters": reader.foreign})


def _verdicts(batch: list[KafkaLetter], judge: Judge) -> list[str]:
    """Those whose parts aren't all there have no bytes to judge."""
    whole = iter(judge.verdicts([letter.raw for letter in batch if letter.raw is not None]))
    return [IN_PARTS if letter.raw is None else next(whole) for letter in batch]
