"""A bounded job on Flink: logs, `reprocess` and `verify` take Beam's options, so they run wherever these lead."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clickstream.io.errors import UserError
from clickstream.io.flink import FlinkCluster
from clickstream.pipeline.argv import given, value_of, without
from clickstream.pipeline.options import read_options
from clickstream.pipeline.runners.flink.options import (
    LOCAL,
    check_environment,
    flink_folder,
    flink_settings,
    is_local,
    refuse_other_runners,
    shards_of,
    worker_options,
    workers_are_loopback,
)
from clickstream.pipeline.runners.flink.server import children_say_to, find_job_server, free_port, job_server

_OF_THE_SERVER = ("flink_job_server", "flink_conf")
_OF_STREAMS = ("checkpoint_interval", "checkpoint_dir", "savepoint_path", "detach")
_SERVERS = {"mysql", "elasticsearch"}


@contextmanager
def bounded_on_flink(argv: Sequence[str], *, writes_only: bool) -> Iterator[list[str]]:
    """The arguments that a bounded job is to be given instead of these, so that it runs on Flink while the block lasts.

    Args:
        argv: The job's options and Flink's.
        writes_only: Whether what workers make goes to servers alone, if there are some: then they may be on other machines.

    Raises:
        UserError: An option is missing, wrong or of no use here, or Beam's job server doesn't start.
    """
    completed = _completed(argv)
    options = read_options(completed)
    check_environment(options)
    if not workers_are_loopback(options):
        completed += _elsewhere(given(argv), value_of(argv, "raw_store"), writes_only=writes_only)
    version = None if is_local(options) else FlinkCluster(value_of(argv, "flink_master")).version()
    command, folder = find_job_server(options, version), flink_folder(options)
    folder.mkdir(parents=True, exist_ok=True)
    settings, log = flink_settings(options, (folder / "checkpoints").as_uri(), free_port()), folder / "flink.log"
    with job_server(command, options, settings, log) as endpoint, children_say_to(log):
        name = f"clickstream-{secrets.token_hex(4)}"
        for option in _OF_THE_SERVER:
            completed = without(completed, option)
        yield [*completed, *worker_options(options), f"--job_endpoint={endpoint}", f"--job_name={name}"]


def _completed(argv: Sequence[str]) -> list[str]:
    chosen = given(argv)
    refuse_other_runners(chosen, argv)
    for name in _OF_STREAMS:
        if name in chosen:
            message = f"--{name} is for the live job: this one ends by itself, and is begun anew where it fails. Leave it out."
            raise UserError(message)
    if "page" in chosen:
        raise UserError("--page isn't for Flink: the page is a command of its own, clickstream page.")  # noqa: EM101
    here = value_of(argv, "flink_master") == LOCAL and "environment_type" not in chosen
    return [
        *argv,
        *([] if "shards" in chosen else [f"--shards={shards_of(value_of(argv, 'parallelism'))}"]),
        *(["--environment_type=LOOPBACK"] if here else []),
        "--runner=PortableRunner",
    ]


def _elsewhere(chosen: set[str], raw_store: str, *, writes_only: bool) -> list[str]:
    """What is set for workers that don't share this machine's folders.

    Raises:
        UserError: The job needs them.
    """
    if not writes_only:
        message = "reprocess and verify leave what they find in this machine's folders: give --flink_master=[local], or --environment_type=LOOPBACK."
        raise UserError(message)
    if not chosen & _SERVERS or raw_store == "files":
        message = "A cluster's workers don't reach this machine's folders: name --mysql or --elasticsearch, and no --raw_store=files."
        raise UserError(message)
    return [] if raw_store else ["--raw_store=none"]
