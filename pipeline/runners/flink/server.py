"""Beam's job server for Flink: found or downloaded, checked, started, and stopped with the job."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.utils.subprocess_server import JavaJarServer
from apache_beam.version import __version__ as beam_version

from clickstream.io.errors import UserError
from clickstream.pipeline.runners.flink.options import FlinkOptions

ON_PATH = "beam-flink-job-server"
_DRIVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_JAVA = 11
_OPENED = ("java.lang", "java.nio", "java.util")
_START_SECONDS = 120.0


def find_job_server(options: PipelineOptions, flink_version: str | None) -> list[str]:
    """The command of the job server, without its options: `--flink_job_server`, else on PATH, else Beam's own download.

    Args:
        options: The job's.
        flink_version: The cluster's; None: of an embedded Flink, any.

    Raises:
        UserError: There is none, or no Java for it; with the ways out.
    """
    chosen = options.view_as(FlinkOptions).flink_job_server or options.view_as(FlinkRunnerOptions).flink_job_server_jar
    if chosen:
        return _java(options, _named(Path(chosen)))
    found = shutil.which(ON_PATH)
    return [found] if found else _java(options, ["-jar", _downloaded(options, flink_version)])


def _named(path: Path) -> list[str]:
    if path.is_dir() and any(path.glob("beam-runners-flink*.jar")):
        return ["-cp", f"{path}/*", _DRIVER]
    if path.is_file():
        return ["-jar", str(path)]
    what = "holds no beam-runners-flink jar" if path.is_dir() else "is no jar and no folder"
    message = f"--flink_job_server={path} {what}: name beam-runners-flink-VERSION-job-server.jar, or a folder of the runner's jars."
    raise UserError(message)


def _downloaded(options: PipelineOptions, flink_version: str | None) -> str:
    known = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    release = (
        ".".join(flink_version.split(".")[:2]) if flink_version else options.view_as(FlinkRunnerOptions).flink_version
    )
    if release not in known:
        message = f"Beam {beam_version} has no job server for Flink {flink_version}, only for {', '.join(known)}: name one with --flink_job_server."
        raise UserError(message)
    jar = JavaJarServer.path_to_beam_jar(f":runners:flink:{release}:job-server:shadowJar")
    try:
        return str(JavaJarServer.local_jar(jar, options.view_as(JobServerOptions).jar_cache_dir))
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).partition(". ")[0]
        message = (
            f"Beam's job server for Flink {release} can't be downloaded ({why}): name the jar, or a folder of the runner's jars, "
            f"with --flink_job_server, or put {ON_PATH} on PATH."
        )
        raise UserError(message) from None


def _java(options: PipelineOptions, what: Sequence[str]) -> list[str]:
    launcher = options.view_as(JobServerOptions)
    java = shutil.which(launcher.job_server_java_launcher)
    cure = f"install Java {_JAVA} or 17, or name it with --job_server_java_launcher"
    if not java:
        message = f"Java is missing ({launcher.job_server_java_launcher} isn't on PATH): {cure}."
        raise UserError(message)
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 (what the user named)
    found = re.search(r'version "(\d+)', said)
    if not found or int(found[1]) < _JAVA:
        message = f"{java} is too old ({said.splitlines()[0] if said else 'no answer'}): {cure}."
        raise UserError(message)
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    return [java, *(launcher.job_server_jvm_properties or ["-Xmx2g"]), *opened, *what]


@contextmanager
def job_server(
    command: Sequence[str], options: PipelineOptions, settings: Mapping[str, str], log: Path
) -> Iterator[str]:
    """Runs it for the length of a `with` block; gives its `host:port`.

    Raises:
        UserError: It doesn't start; with the end of its log.
    """
    master = str(options.view_as(FlinkRunnerOptions).flink_master)
    with tempfile.TemporaryDirectory(prefix="clickstream-flink-") as folder:
        Path(folder, "flink-conf.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        port = free_port()
        given = [f"--flink-master={master}", f"--flink-conf-dir={folder}", f"--artifacts-dir={folder}/artifacts"]
        ports = [f"--job-port={port}", "--artifact-port=0", "--expansion-port=-1"]
        with log.open("ab") as output:
            begin = output.tell()
            process = subprocess.Popen(  # noqa: S603 (what the user named)
                [*command, *given, *ports], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            _await_start(process, port, log, begin)
            yield f"localhost:{port}"
        finally:
            process.kill()  # TERM would take its time over jobs that are none of its business
            process.wait()


@contextmanager
def children_say_to(log: Path) -> Iterator[None]:
    """What workers say goes to the log of Flink, and what this process says to where it went."""
    own, before = os.dup(2), sys.stderr
    sys.stderr = os.fdopen(own, "w", buffering=1)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    # Beam starts them as `python`: the one that has this package must come first.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        yield
    finally:
        os.dup2(own, 2)
        sys.stderr.close()
        sys.stderr = before


def _await_start(process: "subprocess.Popen[bytes]", port: int, log: Path, begin: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
            message = f"Beam's job server for Flink doesn't start: {said[-1].strip() if said else 'it says nothing'} (more in {log})."
            raise UserError(message)
        time.sleep(0.2)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of this machine on which nobody listens right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
