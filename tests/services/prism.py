"""Prism, Beam's runner for continuous jobs on one machine: found, or built with Go once."""

import os
import shutil
from pathlib import Path

from apache_beam.version import __version__ as beam_version

from tests.services.errors import ServiceError
from tests.services.installing import installed
from tests.services.installing import run as run_command


def find_prism() -> str:
    """The program: $CLICKSTREAM_PRISM, else on PATH, else built into the servers' cache.

    Raises:
        ServiceError: None can be had.
    """
    found = os.environ.get("CLICKSTREAM_PRISM") or shutil.which("prism")
    return found or str(installed(f"prism-{beam_version}", _build) / "prism")


def _build(folder: Path) -> None:
    go = shutil.which("go")
    if not go:
        message = "Prism can't be built: put `go` or `prism` on PATH, or name a binary in CLICKSTREAM_PRISM."
        raise ServiceError(message)
    package = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam_version}"
    run_command(["env", f"GOBIN={folder}", go, "install", package], "building Prism")
