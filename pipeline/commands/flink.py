"""The live job on Flink: submitted, watched, and stopped with a savepoint. `./run_flink.sh` runs it. Bounded jobs run there too."""

import logging
import os
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from time import monotonic

import apache_beam as beam
import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import FlinkRunnerOptions, GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.flink import FlinkCluster, FlinkUnavailableError, cause_in
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live import LiveStatus, limits_of, live_job, servers_of
from clickstream.pipeline.options import JOB_OPTIONS, KafkaOptions, LiveOptions
from clickstream.pipeline.output_dir import OutputDir
from clickstream.pipeline.raw_store import expire_hourly
from clickstream.pipeline.runners import check_reader, quiet_beam
from clickstream.pipeline.runners.flink import (
    FlinkJob,
    FlinkOptions,
    bounded_on_flink,
    children_say_to,
    find_job_server,
    flink_folder,
    flink_settings,
    free_port,
    is_local,
    job_server,
    read_flink_options,
    say,
    with_runner_options,
)
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.watch import FAILED_WHILE_RUNNING, note_end, note_status, stop_on_signals

STOP_SECONDS = 120.0
OPTIONS = (*JOB_OPTIONS, FlinkOptions)
BEHIND_HELP = """With --input the job over logs runs there, as `flink reprocess` and `flink verify` do, each with its own options.

Beam's own options are taken as well, above all
  --flink_master HOST:PORT      the job manager's REST address, or [local] for an embedded Flink
  --parallelism N               workers of each step (default: 1)
  --environment_type TYPE       where Python runs: LOOPBACK (the default with [local]), EXTERNAL or DOCKER, with --environment_config
"""
_APPEAR_SECONDS = 180.0
_POLL_SECONDS, _LOOK_SECONDS = 0.2, 0.5


def main(argv: Sequence[str]) -> int:
    """Checks everything that can be checked, then submits the job and watches it. Returns the exit status.

    Raises:
        UserError: Something that the user can mend.
    """
    _quiet_submission()
    options = read_flink_options(argv)
    rest_port = free_port()
    cluster = FlinkCluster(f"127.0.0.1:{rest_port}" if is_local(options) else _master(options))
    command = find_job_server(options, None if is_local(options) else cluster.version())
    configuration = flink_settings(options, checkpoint_place(options, cluster), rest_port)
    settings = Settings.from_options(options, live=True)
    sinks, raw_store = servers_of(options, settings)
    check_reader(options)
    OutputDir(flink_folder(options)).prepare()
    stop, log = stop_on_signals(), flink_folder(options) / "flink.log"
    try:
        with job_server(command, options, configuration, log) as endpoint, children_say_to(log):
            submitted = with_runner_options(options, endpoint, f"clickstream-{secrets.token_hex(4)}")
            pipeline = beam.Pipeline(runner="PortableRunner", options=submitted)
            wire(pipeline, live_job(submitted, settings, sinks, raw_store))
            expire_hourly(raw_store, options)
            return _submit(pipeline, cluster, options, stop)
    except grpc.RpcError:
        return _failed(f"Beam's job server for Flink has gone: see {log}.")


def run_bounded(argv: Sequence[str]) -> int:
    """Runs such a job with Flink as its runner. Returns its exit status.

    Raises:
        UserError: Something that the user can mend.
    """
    _quiet_submission()
    name = argv[0] if argv[0] in ("reprocess", "verify") else "batch"
    module = import_module(f"clickstream.pipeline.commands.{name}")
    with bounded_on_flink(argv if name == "batch" else argv[1:], name) as arguments:
        return int(module.main(arguments))


def _submit(pipeline: beam.Pipeline, cluster: FlinkCluster, options: PipelineOptions, stop: threading.Event) -> int:
    result = pipeline.run()
    try:
        name = str(pipeline.options.view_as(GoogleCloudOptions).job_name)
        identity = _appeared(result, cluster, name, stop)
        job = FlinkJob(cluster, identity, options.view_as(LiveOptions).max_restarts, say)
        if options.view_as(FlinkOptions).detach:
            say(f"Job {identity} runs on {_master(options)}; this ends, and the job goes on.")
            return 0
        status = LiveStatus(options.view_as(KafkaOptions).topic, limits_of(options))
        return _watch(job, stop, status, options.view_as(FlinkOptions))
    finally:
        with suppress(Exception):  # the workers that it has started; at exit Beam would say so at length
            result._cleanup()  # noqa: SLF001


def _master(options: PipelineOptions) -> str:
    return str(options.view_as(FlinkRunnerOptions).flink_master)


def checkpoint_place(options: PipelineOptions, cluster: FlinkCluster) -> str:
    """Where checkpoints go: as chosen, with an embedded Flink a folder, else as the cluster is configured.

    Raises:
        UserError: The cluster isn't, and none is chosen: checkpoints would stay in its memory.
    """
    chosen = options.view_as(FlinkOptions).checkpoint_dir
    if chosen or is_local(options):
        return str(chosen or (flink_folder(options) / "checkpoints").as_uri())
    for key in ("execution.checkpointing.dir", "state.checkpoints.dir"):
        if found := cluster.setting(key):
            return found
    message = (
        "--checkpoint_dir is missing, and the cluster has no state.checkpoints.dir: name a folder that the job manager and all task managers "
        "reach, such as s3://BUCKET/clickstream or file:///shared/clickstream."
    )
    raise UserError(message)


def _appeared(result: PipelineResult, cluster: FlinkCluster, name: str, stop: threading.Event) -> str:
    """Waits until Flink has the job; returns its id there.

    Raises:
        UserError: It wasn't taken.
    """
    deadline = monotonic() + _APPEAR_SECONDS
    while monotonic() < deadline:
        with suppress(FlinkUnavailableError, OSError):  # an embedded one isn't up yet
            if found := cluster.job_named(name):
                return found
        if result.state in (PipelineState.FAILED, PipelineState.CANCELLED):
            message = f"Flink didn't take the job: {_why(result)}"
            raise UserError(message)
        if stop.wait(_POLL_SECONDS):
            raise UserError("Stopped before Flink had the job.")  # noqa: EM101
    message = f"Flink hasn't begun the job within {_APPEAR_SECONDS:.0f} s: are there free task slots?"
    raise UserError(message)


def _why(result: PipelineResult) -> str:
    try:
        result.wait_until_finish()
    except Exception as error:
        return str(user_error_in(error) or cause_in(str(error)))
    return "unknown"


def _watch(job: FlinkJob, stop: threading.Event, status: LiveStatus, flink: FlinkOptions) -> int:
    """Waits for the job's end, for `stop` or for the supervisor's death, and shows how it is doing."""
    supervisor = os.getppid()
    with status:
        while not (ended := job.ended()):
            if status.refresh(job):
                job.note(status.figures)
                note_status(status.report())
            if stop.wait(_LOOK_SECONDS) or os.getppid() != supervisor:
                with suppress(Exception):  # Flink may be gone already: ending is what was asked for
                    status.summary(job)
                return _stop(job, flink.checkpoint_dir)
    if ended == "CANCELED":
        say("The job was cancelled on Flink.")
        return 0
    cause = job.cause()
    if flink.savepoint_path and "rollback to checkpoint/savepoint" in cause:
        message = (
            f"--savepoint_path={flink.savepoint_path} doesn't fit: give the job the options that it was made with, --parallelism too, "
            f"or leave it out to begin at the committed offsets. Flink says: {cause}"
        )
        raise UserError(message)
    return _failed(f"The job has ended on Flink ({ended}): {cause}")


def _failed(why: str) -> int:
    say(why)
    note_end(why)
    return FAILED_WHILE_RUNNING


def _stop(job: FlinkJob, folder: str | None) -> int:
    try:
        place = job.cluster.stop(job.identity, folder, STOP_SECONDS)
        say(f"Stopped. With --savepoint_path={place} it goes on from here; without, from the committed offsets.")
    except (FlinkUnavailableError, OSError) as error:
        with suppress(FlinkUnavailableError, OSError):
            job.cluster.cancel(job.identity)
        say(f"Stopped. {error} What wasn't written yet is read again next time.")
    return 0


def _quiet_submission() -> None:
    """Beam tells of options that only the job server knows, and of each worker that it starts."""
    quiet_beam()
    for name in ("options.pipeline_options", "runners.worker.worker_pool_main", "runners.portability.portable_runner"):
        logging.getLogger(f"apache_beam.{name}").setLevel(logging.CRITICAL)
