"""A bounded job on Flink: logs, `reprocess` and `verify` take Beam's options, so they run wherever these lead."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

from clickstream.io.errors import UserError
from clickstream.io.flink import FlinkCluster
from clickstream.pipeline.argv import given, value_of, without
from clickstream.pipeline.options import read_options
from clickstream.pipeline.runners.engine import workers_are_here
from clickstream.pipeline.runners.flink.options import (
    LOCAL,
    check_environment,
    flink_folder,
    flink_settings,
    is_local,
    refuse_other_runners,
    shards_of,
    worker_options,
)
from clickstream.pipeline.runners.flink.server import children_say_to, find_job_server, free_port, job_server

_OF_THE_SERVER = ("flink_job_server", "flink_conf")
_OF_STREAMS = ("checkpoint_interval", "checkpoint_dir", "savepoint_path", "detach")
_SERVERS = {"mysql", "elasticsearch"}


@contextmanager
def bounded_on_flink(argv: Sequence[str], command: str) -> Iterator[list[str]]:
    """The arguments that a bounded job is to be given instead of these, so that it runs on Flink while the block lasts.

    Args:
        argv: The job's options and Flink's.
        command: What the job's are for: its name in the table of options.

    Raises:
        UserError: An option is missing, wrong or of no use here, or Beam's job server doesn't start.
    """
    completed = _completed(argv)
    own = reduce(without, _OF_THE_SERVER, completed)
    read_options(own, command)  # refuses what the command has no use for
    options = read_options(completed)
    check_environment(options)
    if not workers_are_here(options):
        own += _elsewhere(given(argv), value_of(argv, "raw_store"), command)
    version = None if is_local(options) else FlinkCluster(value_of(argv, "flink_master")).version()
    server, folder = find_job_server(options, version), flink_folder(options)
    folder.mkdir(parents=True, exist_ok=True)
    settings, log = flink_settings(options, (folder / "checkpoints").as_uri(), free_port()), folder / "flink.log"
    with job_server(server, options, settings, log) as endpoint, children_say_to(log):
        name = f"clickstream-{secrets.token_hex(4)}"
        yield [*own, *worker_options(options), f"--job_endpoint={endpoint}", f"--job_name={name}"]


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


def _elsewhere(chosen: set[str], raw_store: str, command: str) -> list[str]:
    """What is set for workers that don't share this machine's folders.

    Raises:
        UserError: The job needs them.
    """
    if command != "batch":  # what its workers find isn't written to servers only
        message = "reprocess and verify leave what they find in this machine's folders: give --flink_master=[local], or --environment_type=LOOPBACK."
        raise UserError(message)
    if not chosen & _SERVERS or raw_store == "files":
        message = "A cluster's workers don't reach this machine's folders: name --mysql or --elasticsearch, and no --raw_store=files."
        raise UserError(message)
    return [] if raw_store else ["--raw_store=none"]
