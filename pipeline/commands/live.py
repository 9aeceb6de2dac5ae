"""The live job: Kafka to the sinks, until it is stopped (or, with --until=now, up to what is there)."""

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import apache_beam as beam
import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions, PrismRunnerOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from clickstream.io.errors import UserError
from clickstream.pipeline.argv import given
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live import LiveStatus, limits_of, live_job, servers_of
from clickstream.pipeline.options import KafkaOptions, read_options
from clickstream.pipeline.raw_store import expire_hourly
from clickstream.pipeline.runners import (
    Causes,
    FoundPrismRunner,
    check_reader,
    find_prism,
    mendable_errors,
    on_prism,
    quiet_beam,
    runner_of,
)
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.watch import (
    FAILED_WHILE_RUNNING,
    is_supervised,
    note_end,
    note_status,
    stop_on_signals,
)

STOP_SECONDS = 10
_POLL_SECONDS = 0.2


def main(argv: Sequence[str]) -> int:
    """Checks everything that can be checked, then runs the job. Returns the exit status.

    Raises:
        UserError: Something that the user can mend, found before the first event.
    """
    options = read_options(argv, "until" if "until" in given(argv) else "live")
    settings = Settings.from_options(options, live=True)
    sinks, raw_store = servers_of(options, settings)
    kafka = options.view_as(KafkaOptions)
    bounded = kafka.until == "now"
    check_reader(options)
    pipeline = beam.Pipeline(runner=_engine(options, bounded=bounded), options=options)
    wire(pipeline, live_job(options, settings, sinks, raw_store))
    stop = stop_on_signals()
    quiet_beam()
    _quiet_loss_of_runner()
    expire_hourly(raw_store, options)
    try:
        with mendable_errors() as causes:
            return _run(pipeline, stop, LiveStatus(kafka.topic, limits_of(options)), causes)
    except UserError as error:  # it may pass, such as a store's outage: the supervisor decides
        return _failed(str(error))
    except grpc.RpcError:
        return _failed("The runner has gone.")


def _failed(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    note_end(why)
    if is_supervised():  # then nothing else is in this process, and workers that still fail say the same, at length
        _silence()
    return FAILED_WHILE_RUNNING


def _silence() -> int:
    """What workers say while they are taken down means nothing. Returns where standard error goes on."""
    logging.disable()
    sys.stderr.flush()
    said = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return said


def _run(pipeline: beam.Pipeline, stop: threading.Event, status: LiveStatus, causes: Causes) -> int:
    result = pipeline.run()
    try:
        return _watch(result, stop, status, causes)
    except grpc.RpcError:
        with suppress(Exception):  # Beam would do it at exit, and print a traceback for each thing that is gone already
            result._cleanup()  # noqa: SLF001
        raise


def _engine(options: PipelineOptions, *, bounded: bool) -> str | PipelineRunner:
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
    return FoundPrismRunner()


def _quiet_loss_of_runner() -> None:
    """Each of Beam's threads that loses the runner says so at length: `main` says it once."""

    def lost(error: BaseException | None) -> bool:
        return isinstance(error, grpc.RpcError)

    threading.excepthook = lambda failed: None if lost(failed.exc_value) else threading.__excepthook__(failed)
    for name in ("data_plane", "sdk_worker"):
        logger = logging.getLogger(f"apache_beam.runners.worker.{name}")
        logger.addFilter(lambda record: not (record.exc_info and lost(record.exc_info[1])))


def _watch(result: PipelineResult, stop: threading.Event, status: LiveStatus, causes: Causes) -> int:
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
        return status.at_end()
    return _failed(str(causes.last) if causes.last else f"The runner ended the job: {result.state}.")


def _cancel(result: PipelineResult) -> int:
    said = _silence()
    cancelling = threading.Thread(target=result.cancel, daemon=True)
    cancelling.start()
    deadline = time.monotonic() + STOP_SECONDS
    while cancelling.is_alive() and time.monotonic() < deadline:
        cancelling.join(_POLL_SECONDS)
    os.write(said, b"Stopped. What wasn't written yet is read again next time.\n")
    return 0
