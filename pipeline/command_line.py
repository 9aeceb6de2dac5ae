"""The commands by name, the module of each, and the parser behind its `--help`. Imports nothing heavy until one of them is asked for."""

from argparse import ArgumentParser
from importlib import import_module
from typing import Any

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
    "try-format": "what an event format makes of a sample of events; --suggest proposes one",
    "completion": "print what makes a shell complete commands and options: bash, zsh or fish",
}


def command_module(name: str) -> Any:
    """The command's module: its `main`, and its `OPTIONS` (or `own_parser`, if none of them is a job's)."""
    return import_module(f"clickstream.pipeline.commands.{name.replace('-', '_')}")


def parser_of(name: str | None) -> ArgumentParser:
    """The parser of a command's options, or of the job's: what the module says of itself, and those of its options that serve it."""
    from clickstream.pipeline.options import job_parser

    if name is None:
        return job_parser()
    command = command_module(name)
    if hasattr(command, "own_parser"):
        return command.own_parser()
    return job_parser(command.OPTIONS, f"clickstream {name}", command.__doc__.partition("\n\n")[0], name)
