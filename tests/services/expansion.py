"""Beam's expansion service with the Java Kafka reader, and its worker as a process: from Maven, without Docker."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.services import java_worker
from tests.services.errors import ServiceError
from tests.services.installing import installed, locked
from tests.services.installing import run as run_command
from tests.services.java import DEPENDENCY, POM, QUICK_START, require_java
from tests.services.run import Run

VERSION = "2.73.0"  # the latest whose parts are all in every copy of the Maven repository that was met
JARS = (
    f"org.apache.beam:beam-sdks-java-io-kafka:{VERSION}",
    f"org.apache.beam:beam-sdks-java-expansion-service:{VERSION}",
    f"org.apache.beam:beam-sdks-java-harness:{VERSION}",
    "org.apache.kafka:kafka-clients:3.9.1",  # the reader leaves it to whoever uses it
    "com.github.jbellis:jamm:0.4.0",  # the worker as well
    "org.slf4j:slf4j-simple:1.7.30",
)
# For Avro's schema registry, in a repository of its own.
NOT_NEEDED = "<exclusions><exclusion><groupId>io.confluent</groupId><artifactId>*</artifactId></exclusion></exclusions>"
SERVICE = "org.apache.beam.sdk.expansion.service.ExpansionService"


def install() -> Path:
    """The folder of the jars, about 140 MB."""
    return installed(f"beam-java-{VERSION}-1", _build)


def _build(folder: Path) -> None:
    require_java()
    wanted = [DEPENDENCY.format(*name.split(":"), "jar", exclusions=NOT_NEEDED) for name in JARS]
    (folder / "pom.xml").write_text(POM.format(dependencies="\n".join(wanted)))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    with locked("maven"):
        run_command(["mvn", "-q", "-B", "-f", folder / "pom.xml", *goal], "downloading Beam for Java", cwd=folder)


@contextmanager
def expansion_service(folder: Path) -> Iterator[str]:
    """Runs it for the length of a `with` block; gives its `host:port`. Its transforms run by `java_worker`.

    Raises:
        ServiceError: It isn't to be had, or doesn't start.
    """
    jars, worker = install(), folder / "java-worker.sh"
    command = shlex.join([sys.executable, java_worker.__file__, str(jars)])
    worker.write_text(f'#!/bin/sh\nexec {command} "$@" >>{shlex.quote(str(folder))}/java-worker.log 2>&1\n')
    worker.chmod(0o700)
    environment = [
        "--defaultEnvironmentType=PROCESS",
        f"--defaultEnvironmentConfig={json.dumps({'command': str(worker)})}",
    ]
    with closing(Run()) as run, (folder / "expansion.log").open("wb+") as log:
        [port] = run.free_ports(1)
        java = [require_java(), "-Xmx256m", QUICK_START, "-cp", f"{jars}/*", SERVICE, str(port), *environment]
        process = subprocess.Popen(java, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        run.guard(process.pid)
        try:
            _await_start(process, Path(log.name))
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            run.release(process.pid)


def _await_start(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while b"Registered transforms" not in (said := log.read_bytes()) and b"kafka_read_with_metadata" not in said:
        if process.poll() is not None or time.monotonic() > deadline:
            message = f"The expansion service doesn't start:\n{said[-3000:].decode(errors='replace')}"
            raise ServiceError(message)
        time.sleep(0.1)
