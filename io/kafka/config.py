"""Kafka settings: read from a file, checked while the graph is built, completed with secrets on the worker."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError
from clickstream.io.secrets import REFERENCE, SecretError, resolve_secret

KafkaConfig = Mapping[str, str | int | float | bool]

_SECRET = re.compile(r"password|secret|\.pem$|^sasl\.oauthbearer\.config$")
_NOT_PUBLIC = ("ssl.ca.pem", "ssl.certificate.pem")  # certificates are no secrets
_OURS = {
    "bootstrap.servers": "--bootstrap_servers",
    "group.id": "--group_id",
    "auto.offset.reset": "--start",
    "enable.partition.eof": "no option: the reader needs it on",
}
_COMMITS = ("enable.auto.commit", "auto.commit.enable")


def load_kafka_config(path: str) -> dict[str, str | int | float | bool]:
    """Reads librdkafka settings from a file (or `gs://BUCKET/OBJECT`): `name=value` lines (`#` comments), or one JSON object.

    Raises:
        UserError: The file can't be read, a line is no setting, or `check_kafka_config` refuses it.
    """
    try:
        text = _content(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        message = f"--kafka_config={path} can't be read ({reason}): check the path and its permissions."
        raise UserError(message) from None
    config = _from_json(text, path) if text.lstrip().startswith("{") else _from_lines(text, path)
    check_kafka_config(config)
    return config


def _content(path: str) -> bytes:
    """A local file, or an object in a bucket: a Flex Template's launcher has no files of the user's."""
    if not path.startswith("gs://"):
        return Path(path).read_bytes()
    from google.api_core.exceptions import GoogleAPICallError  # takes a while, and few keep settings there

    try:
        with FileSystems.open(path) as file:
            return bytes(file.read())
    except GoogleAPICallError as error:
        raise OSError(int(error.code or 0), type(error).__name__) from None


def _from_json(text: str, path: str) -> dict[str, str | int | float | bool]:
    try:
        config = json.loads(text)
    except ValueError as error:
        message = f"--kafka_config={path} is no valid JSON: {error}."
        raise UserError(message) from None
    for name, value in config.items():
        if not isinstance(value, str | int | float | bool):
            message = f"--kafka_config={path}: {name} is no text, number or boolean: librdkafka settings are flat."
            raise UserError(message)
    return config


def _from_lines(text: str, path: str) -> dict[str, str | int | float | bool]:
    config: dict[str, str | int | float | bool] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            message = f"--kafka_config={path}, line {number}: write name=value, as in security.protocol=SASL_SSL."
            raise UserError(message)
        config[name.strip()] = value.strip()
    return config


def check_kafka_config(config: KafkaConfig) -> None:
    """Refuses settings that would lose events or leak a secret. Connects to nothing.

    Raises:
        UserError: Auto-commit is on, a setting has an option of its own, or a secret is given literally.
    """
    for name, value in config.items():
        if name in _COMMITS and str(value).lower() != "false":
            message = (
                f"Kafka setting {name}={value} would lose events: remove it. Offsets are committed behind the sinks."
            )
            raise UserError(message)
        if name in _OURS:
            message = f"Kafka setting {name} can't be in --kafka_config: it is set by {_OURS[name]}."
            raise UserError(message)
        if _is_secret(name) and not REFERENCE.fullmatch(str(value)):
            message = (
                f"Kafka setting {name} is a secret: write {name}=env:NAME (a variable), file:PATH or "
                "secret:projects/P/secrets/S/versions/V, not itself."
            )
            raise UserError(message)


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and name not in _NOT_PUBLIC


def resolve_kafka_config(config: KafkaConfig) -> dict[str, str | int | float | bool]:
    """Puts secrets in the place of their references, see `resolve_secret`. Call it on the worker only.

    Raises:
        UserError: The configuration is refused, or a reference leads nowhere.
    """
    check_kafka_config(config)
    try:
        return {n: resolve_secret(v) if isinstance(v, str) and REFERENCE.fullmatch(v) else v for n, v in config.items()}
    except SecretError as error:
        raise UserError(str(error)) from None
