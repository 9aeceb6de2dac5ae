"""Where Prism is, Beam's runner for continuous jobs on one machine."""

import os
import shutil
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions, PrismRunnerOptions
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner
from apache_beam.version import __version__ as beam_version

from clickstream.io.errors import UserError

_CURE = (
    f"build it with Go (go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam_version}) and put it on PATH, "
    "or name one with --prism_location; or run without it, now and then, with --until=now."
)


def find_prism(options: PipelineOptions) -> str:
    """The Prism binary: `--prism_location` (a path or an address), else on PATH, else downloaded by Beam into its cache.

    Raises:
        UserError: None can be had; with the two ways out.
    """
    chosen = options.view_as(PrismRunnerOptions).prism_location
    by_address = bool(chosen) and chosen.startswith(("http://", "https://"))
    if chosen and not by_address and not Path(chosen).is_file():
        message = f"--prism_location={chosen} is no file: {_CURE}"
        raise UserError(message)
    found = chosen or shutil.which("prism")
    if found and not by_address:
        return str(found)
    try:
        return str(PrismJobServer(options).subprocess_cmd_and_endpoint()[0][0])  # by now it is downloaded
    except (OSError, RuntimeError, ValueError) as error:
        message = f"Prism can't be had ({error}): {_CURE}"
        raise UserError(message) from None


class FoundPrismRunner(PrismRunner):
    """Runs on the program of `find_prism`."""

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Of this pipeline alone: a live job has one."""
        return StopOnExitJobServer(FoundPrism(options))


_NEEDED = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME"),
        *("GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GRPC_GO_LOG_SEVERITY_LEVEL"),
    }
)


class FoundPrism(PrismJobServer):
    """Starts the program as it is. Beam sets its mode before, which fails on a file system that is read-only, as in a container.

    Of this process's variables, among which are secrets, it gets what a program of Go may need: it talks to this process only.
    """

    def subprocess_cmd_and_endpoint(self) -> tuple[list[str], str]:
        """What is run, and where it will listen."""
        command, endpoint = super().subprocess_cmd_and_endpoint()
        kept = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name in _NEEDED]
        return ["env", "-i", *kept, *command], endpoint

    def _get_executable_path(self) -> str:
        if self._path and os.access(self._path, os.X_OK):
            return str(self._path)
        return str(super()._get_executable_path())
