"""The live job's graph and its limits, from the options: Kafka to the sinks, whichever runner it goes to."""

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.kafka import (
    CommitOffsets,
    KafkaConnection,
    ReadFromKafka,
    ReadFromKafkaByJava,
    check_kafka,
    load_kafka_config,
)
from clickstream.io.raw import RawStoreConnection, WriteRawClicks
from clickstream.io.schemas import SchemaRegistry
from clickstream.pipeline.jobs import Job, Output
from clickstream.pipeline.options import ClickOptions, KafkaOptions, LiveOptions, MetricOptions, RawStoreOptions
from clickstream.pipeline.raw_store import raw_store_of, set_up_raw_store
from clickstream.pipeline.row_settings import check_settings, note_kept_clicks
from clickstream.pipeline.runners import read_by_java
from clickstream.pipeline.settings import Settings, checks_servers
from clickstream.pipeline.sinks import Sinks, sinks_of
from clickstream.pipeline.watch import (
    Limits,
    default_limits,
)
from clickstream.transforms import MeasureTimeSpent, PaneTimes, ParseClicks, ParseOptions, SumByBreakdown
from clickstream.transforms.parse import LatestEventTime
from clickstream.transforms.periods import RestartTime

LATE_SECONDS = 5.0


def limits_of(options: PipelineOptions) -> Limits:
    """Beyond which the job isn't well, from the options."""
    asked, kafka = options.view_as(LiveOptions).max_watermark_age, options.view_as(KafkaOptions)
    share = options.view_as(ClickOptions).max_rejected_share
    if asked is not None:
        return Limits(asked, share)
    length = options.view_as(MetricOptions).window_seconds
    usual = default_limits(window_seconds=length, disorder_seconds=kafka.disorder, idle_seconds=kafka.idle)
    return usual._replace(max_rejected_share=share)


def servers_of(options: PipelineOptions, settings: Settings) -> tuple[Sinks, RawStoreConnection | None]:
    """The sinks and the raw store, set up and checked, as Kafka is, unless --check_servers=off.

    Raises:
        UserError: An option is missing or can't be, or a server isn't as it must be.
    """
    kafka = options.view_as(KafkaOptions)
    if not kafka.topic:
        message = "--topic is missing: name the topic that holds the clicks."
        raise UserError(message)
    if options.view_as(RawStoreOptions).raw_store == "files":
        message = "--raw_store=files is for logs: choose mysql, cassandra, hbase or sqlite, or leave it out."
        raise UserError(message)
    sinks, raw_store = sinks_of(options), raw_store_of(options)
    if checks_servers(options):
        check_kafka(_connection(options), kafka.topic)
        sinks.set_up()
        set_up_raw_store(raw_store)
        check_settings(options, settings, sinks, note=True)
        note_kept_clicks(options, sinks, live=True)
    elif sinks.is_embedded or options.view_as(RawStoreOptions).raw_store == "sqlite":
        message = "--check_servers=off isn't for SQLite files, whose tables are made at the start: leave it out."
        raise UserError(message)
    return sinks, raw_store


def live_job(
    options: PipelineOptions, settings: Settings, sinks: Sinks, raw_store: RawStoreConnection | None = None
) -> Job:
    """The live job's steps."""
    measure, restart_after = settings.measure, settings.parse.periods
    connection, by_java = _connection(options), options.view_as(KafkaOptions).kafka_reader == "java"
    return Job(
        read=_read(options, settings.parse),
        parse=ParseClicks(settings.parse),
        measure=settings.measure_step(),
        cut=settings.cut(),
        sums=_sums(options, settings),
        outputs={name: Output(sinks.write_rows(name)) for name in ("", *sinks.derived)},
        write_dead_letters=sinks.write_dead_letters(options),
        store_raw=raw_store and WriteRawClicks(raw_store),
        commit=None
        if by_java
        else CommitOffsets(
            connection.bootstrap_servers,
            connection.group_id,
            connection.config,
            restart_at=RestartTime(measure.allowed_lateness_seconds, measure.settled_seconds, restart_after),
        ),
    )


def _sums(options: PipelineOptions, settings: Settings) -> dict[str, SumByBreakdown]:
    """Windows, and what they are rolled up to.

    Each pane sums its window up anew. So hours and days, which hold many times what a window does, come once when they are over, and once more
    when they are settled; running totals are in the windows.
    """
    metrics, measure = options.view_as(MetricOptions), settings.measure
    open_seconds = measure.allowed_lateness_seconds + measure.settled_seconds
    late = metrics.late_results or late_seconds(measure)
    sums = {}
    for periods in settings.sums:
        times = PaneTimes(None, max(late, open_seconds)) if periods else PaneTimes(metrics.early_results or None, late)
        name = periods.name if periods else ""
        sums[name] = settings.sum_up(periods, pane_times=times, allowed_lateness_seconds=open_seconds)
    return sums


def late_seconds(measure: MeasureTimeSpent) -> float:
    """How soon late clicks show. With dwell, nearly every window changes until a gap later: a few times is enough."""
    return max(LATE_SECONDS, measure.session_gap_seconds / 3) if measure.policy.name == "dwell" else LATE_SECONDS


def _read(options: PipelineOptions, bounds: ParseOptions) -> ReadFromKafka | ReadFromKafkaByJava:
    if options.view_as(KafkaOptions).kafka_reader != "java":
        return read_clicks(options, bounds)
    _check_plain(options, bounds)
    return read_by_java(options)


def _check_plain(options: PipelineOptions, bounds: ParseOptions) -> None:
    """Refuses what Beam's reader can't do, which hands out values as they are."""
    if options.view_as(KafkaOptions).schema_registry:
        message = "--schema_registry is for the native reader: leave out --kafka_reader=java, or send plain JSON."
        raise UserError(message)
    if bounds.event_format and bounds.event_format.around:
        message = "--event_format names a key or header, which only the native reader hands out: leave out --kafka_reader=java."
        raise UserError(message)


def read_clicks(options: PipelineOptions, bounds: ParseOptions) -> ReadFromKafka:
    """The native source, from the options. `bounds`: whose clicks have a say in the watermark."""
    kafka, connection = options.view_as(KafkaOptions), _connection(options)
    return ReadFromKafka(
        bootstrap_servers=connection.bootstrap_servers,
        topic=kafka.topic,
        group_id=connection.group_id,
        event_time=LatestEventTime(bounds.max_event_age_seconds, bounds.max_clock_skew_seconds, bounds.event_format),
        start=kafka.start,
        splits=kafka.kafka_splits,
        disorder_seconds=kafka.disorder,
        idle_seconds=kafka.idle,
        until=kafka.until,
        commit_start=kafka.until is None,
        kafka_config=connection.config,
        registry=registry_of(options),
        around=bounds.event_format.around if bounds.event_format else None,
    )


def registry_of(options: PipelineOptions) -> SchemaRegistry | None:
    """The Schema Registry, if one is given.

    Raises:
        UserError: Its URL is none, or its user has no password.
    """
    kafka = options.view_as(KafkaOptions)
    if not kafka.schema_registry:
        return None
    return SchemaRegistry(
        kafka.schema_registry,
        kafka.schema_registry_user,
        kafka.schema_registry_password,
        kafka.schema_registry_ca,
    )


def _connection(options: PipelineOptions) -> KafkaConnection:
    kafka = options.view_as(KafkaOptions)
    config = load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {}
    return KafkaConnection(kafka.bootstrap_servers, kafka.group_id, config)
