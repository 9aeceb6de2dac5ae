"""`template-metadata`: prints the metadata of the Flex Template, made of the options themselves. dataflow/metadata.json is what it prints."""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from clickstream.io.errors import UserError
from clickstream.pipeline.options import REFERENCE_FORMS, job_parser, pattern_of

OPTIONS = ()
LEFT_OUT = (
    "kafka_splits",
    "kafka_reader",
    "kafka_expansion_service",
)  # the first is set; the other two weren't tried there
_REQUIRED = ("bootstrap_servers", "topic")
_NOT_ON_WORKERS = ("sqlite",)
_HELP = {
    "bootstrap_servers": "HOST:PORT of Kafka brokers, several with commas",
    "max_event_age": "reject older events: 7d, 12h, off (default: 7d)",
    "shards": "the most workers that share a window; with an update give what the job has (default: 16)",
    "cassandra": "HOST:PORT of nodes to begin with, several with commas",
    "hbase": "HOST:PORT of HBase's Thrift server",
    "kafka_config": "gs://BUCKET/OBJECT with further librdkafka settings, name=value lines or JSON; secrets by reference",
    "dead_letters": "mysql or kafka:TOPIC (default: where the rows go; needed without mysql)",
    "raw_store": "mysql: the database of mysql; cassandra and hbase have parameters of their own (default: none)",
}
_REFERENCE = "secret:projects/P/secrets/S/versions/V (Secret Manager)"
_IN_IMAGE = "; its path in the image that sdk_container_image names"
_WORDS = {
    "mysql": "MySQL",
    "tls": "TLS",
    "ca": "CA",
    "api": "API",
    "hbase": "HBase",
    "id": "ID",
    "ids": "IDs",
    "url": "URL",
}
_IMAGE = {
    "name": "sdk_container_image",
    "label": "Workers' container image",
    "helpText": "the template's own image, in which this project is installed: workers start sooner (default: they install it)",
    "isOptional": True,
    "regexes": [r"^[a-z0-9][a-z0-9.:_/-]*[a-z0-9](?:@sha256:[0-9a-f]{64})?$"],
}


def main(argv: Sequence[str]) -> int:
    """Prints the metadata. Returns the exit status.

    Raises:
        UserError: There are arguments.
    """
    if argv:
        message = f"template-metadata takes no options, such as {argv[0]}: write its output to dataflow/metadata.json."
        raise UserError(message)
    sys.stdout.write(json.dumps(metadata(), indent=2, ensure_ascii=False) + "\n")
    return 0


def metadata() -> dict[str, Any]:
    """What `gcloud dataflow flex-template build --metadata-file` takes."""
    return {
        "name": "clickstream-beam",
        "description": "Clicks from Kafka to exact page metrics in MySQL and Elasticsearch, continuously.",
        "streaming": True,
        "supportsAtLeastOnce": False,
        "supportsExactlyOnce": True,
        "parameters": [*map(_parameter, template_options()), _IMAGE],
    }


def template_options() -> Iterator[argparse.Action]:
    """The options that a job on Dataflow takes."""
    for action in job_parser(command="submit-dataflow")._actions:  # noqa: SLF001 (argparse has no other way to list them)
        if action.dest not in ("help", *LEFT_OUT):
            yield action


def _parameter(action: argparse.Action) -> dict[str, Any]:
    return {
        "name": action.dest,
        "label": _label(action.dest),
        "helpText": _help(action),
        "isOptional": action.dest not in _REQUIRED,
        "regexes": [f"^(?:{pattern_of(action, but_not=_NOT_ON_WORKERS)})$"],
    }


def _label(name: str) -> str:
    words = [_WORDS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def _help(action: argparse.Action) -> str:
    text = _HELP.get(action.dest) or str(action.help).removeprefix("live: ").replace(REFERENCE_FORMS, _REFERENCE)
    named = re.sub(r"--([a-z_]+)", r"\1", text)  # parameters have no dashes
    return named + (_IN_IMAGE if action.metavar == "FILE" and action.dest not in _HELP else "")
