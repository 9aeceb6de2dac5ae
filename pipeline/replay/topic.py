"""Dead letters of a live job back into its topic: the bytes that count as clicks now; the others stay where they are.

At least once: a record's dead letter goes only when the brokers have confirmed the record, so a crash in between sends that record
again at the next replay, and the live job then counts it twice. The same goes for a record that the job itself has read
again meanwhile and accepted (restarted with other options, before its offset was committed).

Dead letters of a job with --hash_user_ids hold pseudonyms: that job takes them for what they are. One without the option, or with another key,
would take them for users of their own. Bytes that were withheld stay dead letters.

Rows that a store refused go into that store: see `replay_rows`.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
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
    unwrapped,
)
from clickstream.io.sql import SqlConnection, delete_dead_letters, read_dead_letters
from clickstream.pipeline.options import KafkaOptions
from clickstream.pipeline.replay.rows import NOT_NAMED, STILL_REFUSED, WRITTEN, RefusedRow, RefusedRows, is_row
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import dead_letters_of, sinks_of
from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse import parse_clicks

ACCEPTED, REFUSED, TOO_LATE, IN_PARTS = "accepted", "refused", "too late", "in parts"
RECORDS = "records"


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
    settings = Settings.from_options(options, live=True)
    classifier, writer = Classifier(settings.parse, connection, topic), ConfirmedWriter(connection, topic)
    rows = RefusedRows(sinks_of(options))
    sys.stdout.write(summary(_replay(letters, connection, classifier, writer, rows), topic))
    return 0


def _replay(
    letters: SqlConnection | str,
    connection: KafkaConnection,
    classifier: "Classifier",
    writer: ConfirmedWriter,
    rows: RefusedRows,
) -> Counter[str]:
    if isinstance(letters, str):
        return _from_topic(letters, connection, classifier, writer, rows)
    return _from_database(letters, classifier, writer, rows)


def replay_rows_only(letters: SqlConnection, rows: RefusedRows) -> int:
    """The dead letters of a database that are rows, into their stores, where no topic is named. Returns the exit status.

    Raises:
        UserError: There are none, but records, for which the topic is needed.
    """
    _check_there(letters)
    counts = replay_rows(letters, rows)
    if counts[RECORDS] and not counts.keys() - {RECORDS}:
        raise _without_place()
    sys.stdout.write(
        f"{rows_summary(counts)}"
        + (
            f"Records among the dead letters, which --bootstrap_servers and --topic replay: {counts[RECORDS]}\n"
            if counts[RECORDS]
            else ""
        )
    )
    return 0


def replay_rows(letters: SqlConnection, rows: RefusedRows) -> Counter[str]:
    """Writes the dead letters of a database that are rows into their stores; returns how many became what, and of RECORDS, which stay."""
    counts: Counter[str] = Counter()
    for page in read_dead_letters(letters):
        counts.update(_rows_of_page(letters, page, rows)[1])
    return counts


def rows_summary(counts: Counter[str]) -> str:
    """A line on what became of rows that a store had refused; none if there were none."""
    if not any(counts[kind] for kind in (WRITTEN, STILL_REFUSED, NOT_NAMED)):
        return ""
    stay = "".join(f"; {counts[kind]} {kind}" for kind in (STILL_REFUSED, NOT_NAMED) if counts[kind])
    return f"Refused rows now written: {counts[WRITTEN]}{stay}\n"


def summary(counts: Counter[str], topic: str) -> str:
    """What became of the dead letters: a line, and one more if there were refused rows."""
    stay = ((REFUSED, "still refused"), (TOO_LATE, "too late for the job"), (IN_PARTS, "incomplete"))
    notes = [f"{counts[kind]} {name}" for kind, name in stay if counts[kind]]
    notes += [f"{counts[kind]} {kind}" for kind in ("expired unread", "messages were no dead letters") if counts[kind]]
    return (
        f"Dead letters now accepted and sent to {topic}: {counts[ACCEPTED]}"
        + "".join(f"; {n}" for n in notes)
        + f"\n{rows_summary(counts)}"
    )


class Classifier:
    """Says what the live job would do with records today."""

    def __init__(self, options: ParseOptions, connection: KafkaConnection, topic: str) -> None:
        self._options, self._topic = replace(options, user_key=None), topic  # an outcome is the same for a pseudonym
        with open_consumer(connection) as consumer:
            self._partitions = consumer.partitions(topic)
            committed = consumer.committed(topic, self._partitions).values()
        self._complete_until = max((found.complete_until for found in committed if found), default=None)

    def outcomes(self, values: Sequence[bytes]) -> list[str]:
        """ACCEPTED, REFUSED or TOO_LATE for each of these."""
        now_ms = int(time.time() * 1000)
        batch = RawBatch(values, "replay", range(len(values)), watermark=self._complete_until)
        parsed = parse_clicks(batch, self._options, now_ms=now_ms)
        refused = set(parsed.rejected["position"].to_pylist())
        if parsed.too_late.num_rows == 0 or len(values) == 1:
            kept = TOO_LATE if parsed.too_late.num_rows else ACCEPTED
            return [REFUSED if number in refused else kept for number in range(len(values))]
        return [REFUSED if n in refused else self.outcomes([value])[0] for n, value in enumerate(values)]

    def home(self, source: str) -> int:
        """The partition where a record of that source was, if it was of this topic: its neighbours are there."""
        place, _, partition = source.rpartition("/")
        ours = place == f"kafka:{self._topic}" and int(partition) in self._partitions
        return int(partition) if ours else ANY_PARTITION


def _place(options: PipelineOptions) -> tuple[KafkaConnection, str]:
    kafka = options.view_as(KafkaOptions)
    if not (kafka.bootstrap_servers and kafka.topic):
        raise _without_place()
    config = load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {}
    return KafkaConnection(kafka.bootstrap_servers, kafka.group_id, config), kafka.topic


def _without_place() -> UserError:
    message = (
        "--bootstrap_servers or --topic is missing: name the topic of the live job, where accepted clicks go back to."
    )
    return UserError(message)


def _check_there(letters: SqlConnection) -> None:
    if letters.is_sqlite and not Path(letters.database).is_file():
        message = f"There are no dead letters in {letters.database}: name their place with --mysql or --dead_letters."
        raise UserError(message)


def _rows_of_page(letters: SqlConnection, page: pa.Table, rows: RefusedRows) -> tuple[pa.Table, Counter[str]]:
    """Writes the rows of a page, and deletes those that are in. Returns the records, and counts."""
    sources = zip(page["source"].to_pylist(), page["position"].to_pylist(), strict=True)
    mask = pa.array([is_row(source, position) for source, position in sources], pa.bool_())
    refused, records = page.filter(mask), page.filter(pc.invert(mask))
    raws = zip(refused["source"].to_pylist(), refused["raw"].to_pylist(), strict=True)
    outcomes = rows.write([RefusedRow(*pair) for pair in raws])
    keys = zip(refused["dead_letter_id"].to_pylist(), outcomes, strict=True)
    delete_dead_letters(letters, [key for key, outcome in keys if outcome == WRITTEN])
    return records, Counter(outcomes) + Counter({RECORDS: records.num_rows})


def _from_database(
    letters: SqlConnection, classifier: Classifier, writer: ConfirmedWriter, rows: RefusedRows
) -> Counter[str]:
    _check_there(letters)
    counts: Counter[str] = Counter()
    for whole in read_dead_letters(letters):
        page, found = _rows_of_page(letters, whole, rows)
        counts.update(found)
        outcomes = classifier.outcomes(page["raw"].to_pylist())
        counts.update(outcomes)
        accepted = page.filter(pa.array([outcome == ACCEPTED for outcome in outcomes]))
        source, raw, key = (accepted[name].to_pylist() for name in ("source", "raw", "dead_letter_id"))
        writer.send(_message(value, classifier.home(place)) for value, place in zip(raw, source, strict=True))
        delete_dead_letters(letters, key)
    return counts


def _message(raw: bytes, partition: int) -> Record:
    """A rejected record as it was in the topic, with its key and headers if the format names them."""
    found = unwrapped(raw)
    return Record(found.value, found.key, partition, found.headers)


def _from_topic(
    letters: str, connection: KafkaConnection, classifier: Classifier, writer: ConfirmedWriter, rows: RefusedRows
) -> Counter[str]:
    if letters == writer.topic:
        message = f"--dead_letters=kafka:{letters} is the topic of the clicks: name the one of the dead letters."
        raise UserError(message)
    reader = DeadLetterReader(replace(connection, group_id=f"{connection.group_id}-replay"), letters)
    back = ConfirmedWriter(connection, letters)
    counts: Counter[str] = Counter()
    for batch in reader.batches():
        outcomes = _outcomes(batch, classifier, rows)
        counts.update(outcomes)
        classified = list(zip(batch, outcomes, strict=True))
        writer.send(
            _message(x.raw, classifier.home(x.source)) for x, outcome in classified if x.raw and outcome == ACCEPTED
        )
        back.send(message for x, outcome in classified if outcome not in (ACCEPTED, WRITTEN) for message in x.messages)
    return counts + Counter({"expired unread": reader.expired, "messages were no dead letters": reader.foreign})


def _outcomes(batch: list[KafkaLetter], classifier: Classifier, rows: RefusedRows) -> list[str]:
    """Those whose parts aren't all there have no bytes to classify."""
    are_rows = [is_row(letter.source, letter.position) for letter in batch]
    letters = list(zip(batch, are_rows, strict=True))
    whole = iter(classifier.outcomes([letter.raw for letter, row in letters if letter.raw is not None and not row]))
    written = iter(rows.write([RefusedRow(x.source, x.raw) for x, row in letters if x.raw is not None and row]))
    return [IN_PARTS if letter.raw is None else next(written if row else whole) for letter, row in letters]
