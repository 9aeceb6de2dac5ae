"""`clickstream`, or `python -m clickstream.pipeline`: the main job, or one of the commands beside it."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.metadata import version

from clickstream.io.errors import UserError
from clickstream.pipeline.argv import asks_for_help, given, value_of
from clickstream.pipeline.command_line import COMMANDS, command_module, parser_of
from clickstream.pipeline.watch import DEFAULT_RESTARTS, STOP_SECONDS, JobStatus, note_end, page_beside, supervise

DISTRIBUTION = "clickstream-beam"
_WORKS_FOR_SUPERVISOR = "CLICKSTREAM_SUPERVISED"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names, or the main job. Returns the exit status: 2 for a user's mistake.

    Args:
        argv: The arguments; those of the process, if left out.
    """
    argv = sys.argv[1:] if argv is None else argv
    os.environ.setdefault(
        "POLARS_MAX_THREADS", "1"
    )  # Beam's workers are the parallelism: small groups cost half as much
    warnings.filterwarnings(
        "ignore", "You are using a non-supported Python version", FutureWarning
    )  # Google's, each time
    try:
        return _run(argv)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def _run(argv: Sequence[str]) -> int:
    name = argv[0] if argv and not argv[0].startswith("-") else None
    if name is not None and name not in COMMANDS:
        message = f"Unknown command {name!r}: there are {', '.join(COMMANDS)}, and the job itself, which takes only --options."
        raise UserError(message)
    if "--version" in argv and name is None:
        return _version()
    if asks_for_help(argv):
        return _help(name)
    if name is None:
        return _run_job(argv)
    if name == "flink":
        return _run_flink(argv)
    return int(command_module(name).main(argv[1:]))


def _run_job(argv: Sequence[str]) -> int:
    """The main job: over logs, or live over Kafka, then under a supervisor, unless it ends by itself."""
    options = given(argv)
    live, ends, supervised = "bootstrap_servers" in options, "until" in options, _WORKS_FOR_SUPERVISOR in os.environ
    if live and not ends and not supervised:
        return _supervise(argv, ["--start=committed"], beside=page_beside(argv))
    status = _run_supervised("live", argv) if live else int(command_module("batch").main(argv))
    if status == 0 and "page" in options and not supervised:
        return int(command_module("page").show_for_job(argv))
    return status


def _run_flink(argv: Sequence[str]) -> int:
    if argv[1:2] in (["reprocess"], ["verify"]) or "input" in given(argv):
        return int(command_module("flink").run_bounded(argv[1:]))
    if _WORKS_FOR_SUPERVISOR in os.environ:
        return _run_supervised("flink", argv[1:])
    # A savepoint takes its time to make, and holds for the attempt that it was given to.
    return _supervise(argv, ["--start=committed", "--savepoint_path="], stop_seconds=150)


def _supervise(
    argv: Sequence[str],
    on_restart: Sequence[str],
    *,
    beside: AbstractContextManager[list[str]] | None = None,
    stop_seconds: float = STOP_SECONDS,
) -> int:
    with beside or nullcontext(list(argv)) as options:
        os.environ[_WORKS_FOR_SUPERVISOR] = "1"
        command = [sys.executable, "-m", "clickstream.pipeline", *options]
        restarts = value_of(options, "max_restarts")
        # Wherever the first attempt was told to start: what it hadn't finished comes next.
        return supervise(
            command,
            on_restart=on_restart,
            max_restarts=int(restarts) if restarts.isdigit() else DEFAULT_RESTARTS,
            watched=partial(_health, options),
            stop_seconds=stop_seconds,
        )


def _run_supervised(job: str, argv: Sequence[str]) -> int:
    try:
        return int(command_module(job).main(argv))
    except UserError as error:
        note_end(str(error))
        raise


@contextmanager
def _health(argv: Sequence[str], job: JobStatus) -> Iterator[None]:
    """Serves the job's health while the block lasts, if it is asked for."""
    port = value_of(argv, "health_port")
    if not port.isdigit():
        yield
        return
    from clickstream.pipeline.watch import HealthServer

    server = HealthServer(value_of(argv, "health_host") or "127.0.0.1", int(port), job.report)
    sys.stderr.write(f"Health: {server.url}/healthz (also /metrics, /status.json)\n")
    try:
        yield
    finally:
        server.close()


def _version() -> int:
    sys.stdout.write(f"{DISTRIBUTION} {version(DISTRIBUTION)}\n")
    return 0


def _help(name: str | None) -> int:
    """The one `--help`: what the command's module says of itself, and those of its options that serve it."""
    parser_of(name).print_help()
    behind = getattr(command_module(name), "BEHIND_HELP", "") if name else _commands_help()
    sys.stdout.write(f"\n{behind}" if behind else "")
    return 0


def _commands_help() -> str:
    commands = "".join(f"  {name:22}{what}\n" for name, what in COMMANDS.items())
    return f"commands (clickstream COMMAND --help):\n{commands}\nBeam's own options are taken as well.\n"


if __name__ == "__main__":
    sys.exit(main())
