"""Options of a job on Flink, and what they come to: Flink's own configuration, and Beam's options for its Flink runner."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.argv import given, value_of
from clickstream.pipeline.options import OutputOptions, duration, read_options
from clickstream.pipeline.runners.engine import workers_are_here

LOCAL = "[local]"
# A bundle's results go on, and its timers fire, when it ends: the default of a second would make each window wait for several of them.
_BUNDLE_MILLIS = 100
_SHARDS_A_WORKER = (
    4  # of users and pages, where there are many: Flink deals them out by a hash, and some workers get more than others
)


class FlinkOptions(PipelineOptions):
    """On Flink."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--flink_job_server",
            metavar="JAR_OR_DIR",
            help="Beam's job server for Flink: its jar, or a folder of jars (default: beam-flink-job-server on PATH, else downloaded)",
        )
        add(
            "--checkpoint_interval",
            type=duration,
            default="10s",
            metavar="DURATION",
            help="how much is done again when a worker dies",
        )
        add(
            "--checkpoint_dir",
            metavar="URI",
            help="file:///…, s3://…: checkpoints and savepoints (default: the cluster's own; with [local] OUTPUT_DIR/flink)",
        )
        add("--savepoint_path", metavar="URI", help="go on from this savepoint, or from a checkpoint that was kept")
        add(
            "--flink_conf",
            action="append",
            metavar="KEY=VALUE",
            help="a setting of Flink's for this job, again and again",
        )
        add("--detach", action="store_true", help="end when the job runs; not with the environment LOOPBACK")


def read_flink_options(argv: Sequence[str]) -> PipelineOptions:
    """A live job's options and Flink's, with what is set for Flink: one group a partition, shards, where Python runs.

    Raises:
        UserError: An option is unknown or wrong, or one that a cluster needs is missing.
    """
    chosen = given(argv)
    _refuse_others(chosen, argv)
    local = f"--flink_master={LOCAL}" in argv
    completed = [
        *_without_empty_savepoint(argv),
        *([] if "kafka_splits" in chosen else ["--kafka_splits=per_partition"]),
        *([] if "shards" in chosen else [f"--shards={shards_of(value_of(argv, 'parallelism'))}"]),
        *(["--environment_type=LOOPBACK"] if local and "environment_type" not in chosen else []),
        "--runner=PortableRunner",
        "--streaming",
    ]
    options = read_options(completed, "flink")
    check_environment(options)
    return options


def shards_of(parallelism: str) -> int:
    """Groups of users and pages: each costs every batch and window something, so no more than keep the workers busy.

    A savepoint's state is divided by them, and Flink refuses one of another parallelism anyhow.
    """
    workers = int(parallelism) if parallelism.isdecimal() else 1
    return max(1, workers) if workers <= 2 else workers * _SHARDS_A_WORKER


def _without_empty_savepoint(argv: Sequence[str]) -> list[str]:
    """The last of several holds, also if it's empty: so the supervisor takes it back."""
    chosen = [argument for argument in argv if argument.startswith("--savepoint_path=")][-1:]
    others = [argument for argument in argv if not argument.startswith("--savepoint_path=")]
    return [*others, *(chosen if chosen != ["--savepoint_path="] else [])]


def _refuse_others(chosen: set[str], argv: Sequence[str]) -> None:
    """Options that other commands take, and this one can't.

    Raises:
        UserError: One of them is given.
    """
    if "bootstrap_servers" not in chosen:
        message = "--bootstrap_servers is missing: it and --topic name the live job's clicks, --input names logs."
        raise UserError(message)
    refuse_other_runners(chosen, argv)


def refuse_other_runners(chosen: set[str], argv: Sequence[str]) -> None:
    """A job on Flink is told which.

    Raises:
        UserError: It isn't, or is to run elsewhere.
    """
    if "flink_master" not in chosen or "--flink_master=[auto]" in argv:
        message = "--flink_master is missing: HOST:PORT of a cluster's job manager (its REST port, 8081), or [local]."
        raise UserError(message)
    if {"runner", "flink_submit_uber_jar"} & chosen:
        message = "--runner and --flink_submit_uber_jar can't be chosen here: leave them out."
        raise UserError(message)


def check_environment(options: PipelineOptions) -> None:
    """Whether it is known where Python runs, and Flink's own settings are pairs.

    Raises:
        UserError: Not so.
    """
    for setting in options.view_as(FlinkOptions).flink_conf or []:
        if not setting.partition("=")[2]:
            message = f"--flink_conf={setting}: write KEY=VALUE, such as state.backend.type=rocksdb."
            raise UserError(message)
    portable = options.view_as(PortableOptions)
    if portable.environment_type is None:
        message = (
            "--environment_type is missing: EXTERNAL with --environment_config=HOST:PORT of a worker pool as the task managers "
            "see it (./run_flink.sh worker-pool PORT beside each), DOCKER with --environment_config=IMAGE, or LOOPBACK for a try."
        )
        raise UserError(message)
    if portable.environment_type == "EXTERNAL" and not portable.environment_config:
        message = "--environment_type=EXTERNAL needs --environment_config=HOST:PORT of the worker pool."
        raise UserError(message)
    if portable.environment_type == "LOOPBACK" and options.view_as(FlinkOptions).detach:
        message = "--detach needs workers of their own: --environment_type=EXTERNAL or DOCKER. LOOPBACK's end with this process."
        raise UserError(message)


def is_local(options: PipelineOptions) -> bool:
    """Whether Flink is embedded in the job server."""
    return str(options.view_as(FlinkRunnerOptions).flink_master) == LOCAL


def parallelism(options: PipelineOptions) -> int:
    """Into how many parts each step is divided: 1 unless told."""
    return max(1, int(options.view_as(FlinkRunnerOptions).parallelism))


def flink_folder(options: PipelineOptions) -> Path:
    """Where the job server's log is, and the checkpoints of an embedded Flink."""
    return Path(options.view_as(OutputOptions).output_dir, "flink").absolute()


def with_runner_options(options: PipelineOptions, endpoint: str, name: str) -> PipelineOptions:
    """The options as they are submitted, with those of Beam's Flink runner: what exactness needs, and what this job's size asks for."""
    flags = [*options._flags, *_runner_options(options), f"--job_endpoint={endpoint}", f"--job_name={name}"]  # noqa: SLF001
    return PipelineOptions(flags)


def _runner_options(options: PipelineOptions) -> list[str]:
    flink = options.view_as(FlinkOptions)
    return [
        # Otherwise what a bundle has given out when a checkpoint begins isn't flushed: the source may never be called.
        "--finish_bundle_before_checkpointing",
        f"--checkpointing_interval={max(1, round(flink.checkpoint_interval * 1000))}",
        # A checkpoint outlives the job: it can be gone on from, whatever died.
        "--externalized_checkpoints_enabled",
        "--retain_externalized_checkpoints_on_cancellation",
        f"--max_bundle_time_mills={_BUNDLE_MILLIS}",
        *worker_options(options),
    ]


def worker_options(options: PipelineOptions) -> list[str]:
    """Python works in processes of its own: one can die, and several are as fast as several cores."""
    count = parallelism(options)
    loopback = ["--experiments=use_loopback_process_worker", f"--sdk_worker_parallelism={count}"]
    return [f"--parallelism={count}", *(loopback if workers_are_here(options) else [])]


def flink_settings(options: PipelineOptions, place: str, rest_port: int) -> dict[str, str]:
    """Flink's configuration of this job, whose checkpoints go to `place`, and of an embedded Flink."""
    flink = options.view_as(FlinkOptions)
    settings = {
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "state.checkpoints.dir": place,
        "state.savepoints.dir": place,
    }
    if is_local(options):
        settings |= {"rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1"}
        settings |= {"rest.port": str(rest_port), "rest.bind-port": str(rest_port)}
        if flink.savepoint_path:  # an embedded Flink doesn't look at Beam's option
            settings["execution.savepoint.path"] = flink.savepoint_path
    return settings | dict(setting.split("=", 1) for setting in flink.flink_conf or [])
