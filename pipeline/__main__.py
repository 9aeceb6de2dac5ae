"""`clickstream`, or `python -m clickstream.pipeline`: the main job, or one of the commands beside it."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise

from clickstream.io.errors import UserError
from clickstream.pipeline.watch import DEFAULT_RESTARTS, STOP_SECONDS, JobStatus, note_end, page_beside, supervise

DISTRIBUTION = "clickstream-beam"
_WORKS_FOR_SUPERVISOR = "CLICKSTREAM_SUPERVISED"
COMMANDS = {
    "flink": "the live job on Flink: see run_flink.sh --help",
    "generate": "write a sample click log, or feed a topic",
    "submit-dataflow": "submit the live job to Google Cloud Dataflow: run_dataflow.sh",
    "template-metadata": "print the metadata of the Flex Template, dataflow/metadata.json",
    "setup-sinks": "create and check the tables, procedures and index of the sinks, and end",
    "replay-dead-letters": "parse rejected records again, and count what is now accepted",
    "reprocess": "compute windows again from the raw store, and restate what differs",
    "verify": "compare raw store, MySQL and Elasticsearch window by window",
    "forget": "remove a user's clicks, and restate what counted them",
    "page": "a web page over the results of any store, which refreshes itself",
    "query": "clicks, users and time spent of a page, a country and a range, from any store",
}


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
    if {"-h", "--help"} & set(argv) and name is None:
        return _help()
    if name is None:
        return _run_job(argv)
    if name == "flink" and not {"-h", "--help"} & set(argv):
        return _run_flink(argv)
    return int(import_module(f"clickstream.pipeline.commands.{name.replace('-', '_')}").main(argv[1:]))


def _run_job(argv: Sequence[str]) -> int:
    """The main job: over logs, or live over Kafka, then under a supervisor, unless it ends by itself."""
    given = {argument.partition("=")[0] for argument in argv}
    live, ends = "--bootstrap_servers" in given, "--until" in given
    if "--health_port" in given and (ends or not live):
        message = "--health_port is for a live job, which goes on until it is stopped: leave it out."
        raise UserError(message)
    supervised = _WORKS_FOR_SUPERVISOR in os.environ
    if live and not ends and not supervised:
        return _supervise(argv, ["--start=committed"])
    status = (
        _run_supervised("live", argv) if live else int(import_module("clickstream.pipeline.commands.batch").main(argv))
    )
    if status == 0 and "--page" in given and not supervised:
        return int(import_module("clickstream.pipeline.commands.page").main(argv))
    return status


def _run_flink(argv: Sequence[str]) -> int:
    if _WORKS_FOR_SUPERVISOR in os.environ:
        return _run_supervised("flink", argv[1:])
    if "--page" in argv:
        message = "--page isn't for Flink: run `clickstream page` with the options of the stores beside the job."
        raise UserError(message)
    # A savepoint takes its time to make, and holds for the attempt that it was given to.
    return _supervise(argv, ["--start=committed", "--savepoint_path="], stop_seconds=150)


def _supervise(argv: Sequence[str], on_restart: Sequence[str], stop_seconds: float = STOP_SECONDS) -> int:
    with page_beside(argv) as options:
        os.environ[_WORKS_FOR_SUPERVISOR] = "1"
        command = [sys.executable, "-m", "clickstream.pipeline", *options]
        restarts = _value(options, "--max_restarts")
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
        return int(import_module(f"clickstream.pipeline.commands.{job}").main(argv))
    except UserError as error:
        note_end(str(error))
        raise


@contextmanager
def _health(argv: Sequence[str], job: JobStatus) -> Iterator[None]:
    """Serves the job's health while the block lasts, if it is asked for."""
    port = _value(argv, "--health_port")
    if not port.isdigit():
        yield
        return
    from clickstream.pipeline.watch import HealthServer

    server = HealthServer(_value(argv, "--health_host") or "127.0.0.1", int(port), job.report)
    sys.stderr.write(f"Health: {server.url}/healthz (also /metrics, /status.json)\n")
    try:
        yield
    finally:
        server.close()


def _value(argv: Sequence[str], option: str) -> str:
    """Read here without Beam, which the supervisor does without; a wrong value is refused by the job itself."""
    values = [argument.partition("=")[2] for argument in argv if argument.startswith(f"{option}=")]
    values += [after for argument, after in pairwise(argv) if argument == option]
    return values[-1] if values else ""


def _version() -> int:
    sys.stdout.write(f"{DISTRIBUTION} {version(DISTRIBUTION)}\n")
    return 0


def _help() -> int:
    from clickstream.pipeline.options import job_parser

    job_parser().print_help()
    commands = "\n".join(f"  {name:22}{what}" for name, what in COMMANDS.items())
    sys.stdout.write(f"\ncommands (clickstream COMMAND --help):\n{commands}\n\nBeam's own options are taken as well.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
