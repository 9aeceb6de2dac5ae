"""The live job: Kafka to the sinks, until it is stopped (or, with --until=now, up to what is there)."""

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import apache_beam as beam
import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions, PrismRunnerOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from clickstream.io.errors import UserError
from clickstream.io.kafka import CommitOffsets, KafkaConnection, ReadFromKafka, check_kafka, load_kafka_config
from clickstream.io.raw_store import RawStoreConnection
from clickstream.io.raw_write import WriteRawClicks
from clickstream.pipeline.health import Limits, default_limits
from clickstream.pipeline.java_reader import check_reader, read_by_java
from clickstream.pipeline.job_status import note_end, note_status
from clickstream.pipeline.jobs import Job, Output, wire
from clickstream.pipeline.live_options import LiveOptions
from clickstream.pipeline.options import KafkaOptions, MetricOptions, RawStoreOptions, read_options
from clickstream.pipeline.prism import find_prism
from clickstream.pipeline.raw import expire_hourly, raw_store_of, set_up_raw_store
from clickstream.pipeline.running import (
    checks_servers,
    longest_periods,
    measure_step,
    mendable_errors,
    on_prism,
    parse_options,
    quiet_beam,
    rollups_of,
    runner_of,
)
from clickstream.pipeline.sinks import Sinks, sinks_of
from clickstream.pipeline.status import LiveStatus
from clickstream.pipeline.stopping import stop_on_signals
from clickstream.pipeline.supervisor import FAILED_WHILE_RUNNING
from clickstream.transforms import CutByWindow, MeasureTimeSpent, PaneTimes, ParseClicks, SumByPage
from clickstream.transforms.event_time import LatestEventTime
from clickstream.transforms.periods import RestartTime

LATE_SECONDS = 5.0
STOP_SECONDS = 10
_POLL_SECONDS = 0.2


def main(argv: Sequence[str]) -> int:
    """Checks everything that can be checked, then runs the job. Returns the exit status.

    Raises:
        UserError: Something that the user can mend, found before the first event.
    """
    options = read_options(argv)
    sinks, raw_store = servers_of(options)
    kafka = options.view_as(KafkaOptions)
    bounded = kafka.until == "now"
    check_reader(options)
    pipeline = beam.Pipeline(runner=_engine(options, bounded=bounded), options=options)
    wire(pipeline, live_job(options, sinks, raw_store))
    stop = stop_on_signals()
    quiet_beam()
    _quiet_loss_of_runner()
    expire_hourly(raw_store, options)
    try:
        with mendable_errors():
            return _run(pipeline, stop, LiveStatus(kafka.topic, limits_of(options)))
    except UserError as error:  # it may pass, such as a store's outage: the supervisor decides
        return _failed(str(error))
    except grpc.RpcError:
        return _failed("The runner has gone.")


def _failed(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    note_end(why)
    return FAILED_WHILE_RUNNING


def limits_of(options: PipelineOptions) -> Limits:
    """Beyond which the job isn't well, from the options."""
    asked, kafka = options.view_as(LiveOptions).max_watermark_age, options.view_as(KafkaOptions)
    if asked is not None:
        return Limits(asked)
    length = options.view_as(MetricOptions).window_seconds
    return default_limits(window_seconds=length, disorder_seconds=kafka.disorder, idle_seconds=kafka.idle)


def servers_of(options: PipelineOptions) -> tuple[Sinks, RawStoreConnection | None]:
    """The sinks and the raw store, set up and checked, as Kafka is, unless --check_servers=off.

    Raises:
        UserError: An option is missing or can't be, or a server isn't as it must be.
    """
    kafka = options.view_as(KafkaOptions)
    if not kafka.topic:
        message = "--topic is missing: name the topic that holds the clicks."
        raise UserError(message)
    sinks, raw_store = sinks_of(options), raw_store_of(options)
    if checks_servers(options):
        check_kafka(_connection(options), kafka.topic)
        sinks.set_up()
        set_up_raw_store(raw_store)
    elif sinks.is_embedded or options.view_as(RawStoreOptions).raw_store == "sqlite":
        message = "--check_servers=off isn't for SQLite files, whose tables are made at the start: leave it out."
        raise UserError(message)
    return sinks, raw_store


def _run(pipeline: beam.Pipeline, stop: threading.Event, status: LiveStatus) -> int:
    result = pipeline.run()
    try:
        return _watch(result, stop, status)
    except grpc.RpcError:
        with suppress(Exception):  # Beam would do it at exit, and print a traceback for each thing that is gone already
            result._cleanup()  # noqa: SLF001
        raise


def live_job(options: PipelineOptions, sinks: Sinks, raw_store: RawStoreConnection | None = None) -> Job:
    """The live job's steps."""
    metrics = options.view_as(MetricOptions)
    measure = measure_step(options, live=True, shards=metrics.shards or 1)
    connection, by_java = _connection(options), options.view_as(KafkaOptions).kafka_reader == "java"
    return Job(
        read=read_by_java(options) if by_java else read_clicks(options),
        parse=ParseClicks(parse_options(options, live=True)),
        measure=measure,
        cut=CutByWindow(metrics.window_seconds, metrics.shards or 1),
        outputs=_outputs(options, sinks, measure),
        write_dead_letters=sinks.write_dead_letters(options),
        store_raw=raw_store and WriteRawClicks(raw_store),
        commit=None
        if by_java
        else CommitOffsets(
            connection.bootstrap_servers,
            connection.group_id,
            connection.config,
            restart_at=RestartTime(measure.allowed_lateness_seconds, measure.settled_seconds, longest_periods(options)),
        ),
    )


def _outputs(options: PipelineOptions, sinks: Sinks, measure: MeasureTimeSpent) -> dict[str, Output]:
    """Windows, and what they are rolled up to.

    Each pane sums its window up anew. So hours and days, which hold many times what a window does, come once when they are over, and once more
    when they are settled; running totals are in the windows.
    """
    metrics = options.view_as(MetricOptions)
    open_seconds = measure.allowed_lateness_seconds + measure.settled_seconds
    late = metrics.late_results or late_seconds(measure)
    sums = partial(
        SumByPage,
        metrics.window_seconds,
        allowed_lateness_seconds=open_seconds,
        sketch_size=metrics.sketch_size,
    )
    times = PaneTimes(metrics.early_results or None, late)
    outputs = {"": Output(sums(pane_times=times), sinks.write_rows())}
    for periods in rollups_of(options):
        settled = PaneTimes(None, max(late, open_seconds))
        outputs[periods.name] = Output(sums(pane_times=settled, periods=periods), sinks.write_rows(periods.name))
    return outputs


def late_seconds(measure: MeasureTimeSpent) -> float:
    """How soon late clicks show. With dwell, nearly every window changes until a gap later: a few times is enough."""
    return max(LATE_SECONDS, measure.session_gap_seconds / 3) if measure.policy.name == "dwell" else LATE_SECONDS


def read_clicks(options: PipelineOptions) -> ReadFromKafka:
    """The native source, from the options."""
    kafka, connection = options.view_as(KafkaOptions), _connection(options)
    bounds = parse_options(options, live=True)
    return ReadFromKafka(
        bootstrap_servers=connection.bootstrap_servers,
        topic=kafka.topic,
        group_id=connection.group_id,
        event_time=LatestEventTime(bounds.max_event_age_seconds, bounds.max_clock_skew_seconds),
        start=kafka.start,
        splits=kafka.kafka_splits,
        disorder_seconds=kafka.disorder,
        idle_seconds=kafka.idle,
        until=kafka.until,
        commit_start=kafka.until is None,
        kafka_config=connection.config,
    )


def _connection(options: PipelineOptions) -> KafkaConnection:
    kafka = options.view_as(KafkaOptions)
    config = load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {}
    return KafkaConnection(kafka.bootstrap_servers, kafka.group_id, config)


def _engine(options: PipelineOptions, *, bounded: bool) -> str:
    """The runner of a live job: Prism, unless another is named; of a bounded one the batch runner."""
    standard = options.view_as(StandardOptions)
    if bounded:
        return runner_of(options)
    standard.streaming = True
    if not on_prism(options):
        return str(standard.runner)
    if options.view_as(KafkaOptions).kafka_splits != "one":
        message = "--kafka_splits=per_partition loses events on Prism, which keeps one watermark for all: leave it out."
        raise UserError(message)
    prism = options.view_as(PrismRunnerOptions)
    prism.prism_location = find_prism(options)
    if prism.prism_log_level == "info":  # its default: it would announce each job and worker
        prism.prism_log_level = "error"
    return "PrismRunner"


def _quiet_loss_of_runner() -> None:
    """Each of Beam's threads that loses the runner says so at length: `main` says it once."""

    def lost(error: BaseException | None) -> bool:
        return isinstance(error, grpc.RpcError)

    threading.excepthook = lambda failed: None if lost(failed.exc_value) else threading.__excepthook__(failed)
    for name in ("data_plane", "sdk_worker"):
        logger = logging.getLogger(f"apache_beam.runners.worker.{name}")
        logger.addFilter(lambda record: not (record.exc_info and lost(record.exc_info[1])))


def _watch(result: PipelineResult, stop: threading.Event, status: LiveStatus) -> int:
    """Waits for the job's end, for `stop` or for the supervisor's death, and shows how it is doing."""
    supervisor = os.getppid()
    asked = False
    with status:
        while not asked and not PipelineState.is_terminal(result.state):
            if status.refresh(result):
                note_status(status.report())
            asked = stop.wait(_POLL_SECONDS) or os.getppid() != supervisor
    if asked:
        with suppress(Exception):  # the runner may be gone already: ending is what was asked for
            status.summary(result)
        return _cancel(result)
    if result.state == PipelineState.DONE:
        status.summary(result)
        return 0
    return _failed(f"The runner ended the job: {result.state}.")


def _cancel(result: PipelineResult) -> int:
    logging.disable()
    said = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what workers say while they are taken down means nothing
    cancelling = threading.Thread(target=result.cancel, daemon=True)
    cancelling.start()
    deadline = time.monotonic() + STOP_SECONDS
    while cancelling.is_alive() and time.monotonic() < deadline:
        cancelling.join(_POLL_SECONDS)
    os.write(said, b"Stopped. What wasn't written yet is read again next time.\n")
    return 0
