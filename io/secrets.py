"""Secrets by reference: options, job graphs and pickled DoFns carry `env:NAME`, `file:PATH` or `secret:…`, never the secret itself."""

import os
import re
from pathlib import Path

from clickstream.io.errors import UserError
from clickstream.io.secret_manager import read_secret_version

VERSION_NAME = r"projects/[a-z0-9:.-]+/secrets/[A-Za-z0-9_-]{1,255}/versions/(?:[1-9][0-9]*|[a-z][A-Za-z0-9_-]*)"
REMOTE_REFERENCE = rf"secret:{VERSION_NAME}"
_LOCAL_REFERENCE = r"(?:env|file):.+"
REFERENCE = re.compile(rf"{_LOCAL_REFERENCE}|{REMOTE_REFERENCE}")
FORMS = "env:NAME (an environment variable), file:PATH or secret:projects/P/secrets/S/versions/V (Google Cloud's Secret Manager)"


class SecretError(UserError):
    """A secret's reference is malformed, or what it names isn't there. The text never holds a secret."""


def check_secret_reference(reference: str) -> str:
    """Returns the reference as it is if it is `env:NAME`, `file:PATH` or `secret:projects/P/secrets/S/versions/V`.

    Raises:
        SecretError: It is none of these; its text is not repeated, since it may be the secret itself.
    """
    if not REFERENCE.fullmatch(reference):
        message = f"A secret is given by reference: write {FORMS}, not the secret itself."
        raise SecretError(message)
    return reference


def is_remote_reference(reference: str) -> bool:
    """Whether a reference leads to the same secret from any machine: a variable and a file are those of one."""
    return re.fullmatch(REMOTE_REFERENCE, reference) is not None


def resolve_secret(reference: str) -> str:
    """Returns the secret that a reference names; a file's or a secret version's less a trailing newline. Call it in `setup()`, on the worker.

    Raises:
        SecretError: The reference is malformed, or what it names isn't there or can't be read.
    """
    kind, _, name = check_secret_reference(reference).partition(":")
    if kind == "env":
        if name not in os.environ:
            message = (
                f"The environment variable {name} is not set: export it before starting, or name another with env:NAME."
            )
            raise SecretError(message)
        return os.environ[name]
    if kind == "secret":
        try:
            return read_secret_version(name)
        except UserError as error:
            raise SecretError(str(error)) from None
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"The secret's file {name} can't be read ({error.strerror}): check the path and its permissions."
        raise SecretError(message) from None
