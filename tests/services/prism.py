"""Prism, Beam's runner for continuous jobs on one machine: found, or built with Go once."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.job_server import JobServer
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.version import __version__ as beam_version

from tests.services.go import go_install
from tests.services.installing import installed


@contextmanager
def on_prism(location: str) -> Iterator[beam.Pipeline]:
    """A pipeline on the runner of live jobs: unlike the old DirectRunner it lets timers hold the watermark, and keeps its DoFns."""
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)  # it announces each Prism's end
    options = PipelineOptions(
        streaming=True,
        allow_unsafe_triggers=True,
        prism_location=location,
        prism_log_level="error",
        # The server of another test's pipeline may know of no binary.
        experiments=["disable_prism_server_singleton"],
    )
    runner = _OwnPrism()
    try:
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            yield pipeline
    finally:
        if runner.server is not None:
            _wait_for_worker()
            runner.server.stop()


def _wait_for_worker() -> None:
    """The pipeline's worker is a thread of this process, and ends behind it: it would complain of a Prism that has gone before."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and any(thread.name == "read_state" for thread in threading.enumerate()):
        time.sleep(0.05)


class _OwnPrism(PrismRunner):
    """Knows its Prism, to end it: Beam does so when Python exits, but the processes of a parallel test run don't exit like that."""

    server: JobServer | None = None

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        self.server = super().default_job_server(options)
        return self.server


def find_prism() -> str:
    """The program: $CLICKSTREAM_PRISM, else on PATH, else built into the servers' cache.

    Raises:
        ServiceError: None can be had.
    """
    found = os.environ.get("CLICKSTREAM_PRISM") or shutil.which("prism")
    return found or str(installed(f"prism-{beam_version}", _build) / "prism")


def _build(folder: Path) -> None:
    go_install(f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam_version}", folder)
