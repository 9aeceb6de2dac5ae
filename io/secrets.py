"""Secrets by reference: options, job graphs and pickled DoFns carry `env:NAME` or `file:PATH`, never the secret itself."""

import os
from pathlib import Path

from clickstream.io.errors import UserError


class SecretError(UserError):
    """A secret's reference is malformed, or what it names isn't there. The text never holds a secret."""


def check_secret_reference(reference: str) -> str:
    """Returns the reference as it is if it is `env:NAME` or `file:PATH`.

    Raises:
        SecretError: It is neither; its text is not repeated, since it may be the secret itself.
    """
    kind, _, name = reference.partition(":")
    if kind not in ("env", "file") or not name:
        message = "A secret is given by reference: write env:NAME (an environment variable) or file:PATH, not the secret itself."
        raise SecretError(message)
    return reference


def resolve_secret(reference: str) -> str:
    """Returns the secret that `env:NAME` or `file:PATH` (less a trailing newline) names. Call it in `setup()`, on the worker.

    Raises:
        SecretError: The reference is malformed, the variable isn't set, or the file can't be read.
    """
    kind, _, name = check_secret_reference(reference).partition(":")
    if kind == "env":
        if name not in os.environ:
            message = (
                f"The environment variable {name} is not set: export it before starting, or name another with env:NAME."
            )
            raise SecretError(message)
        return os.environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"The secret's file {name} can't be read ({error.strerror}): check the path and its permissions."
        raise SecretError(message) from None
