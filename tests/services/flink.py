"""Flink: job manager and task manager as processes of their own, a pool of Python workers, and Beam's job server for it."""

import contextlib
import os
import signal
import socket
import sys
import tarfile
from functools import partial
from pathlib import Path

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.installing import run as run_command
from tests.services.java import QUICK_START, copy_jars, opened, require_java
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "1.19.0"
# The newest whose parts are all in every copy of the Maven repository that was met; Python's Beam may be newer.
RUNNER = "2.62.0"
RUNNER_JARS = (f"org.apache.beam:beam-runners-flink-1.19:{RUNNER}", "org.slf4j:slf4j-simple:1.7.30")
SLOTS = 2
CONFIGURATION = """jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
jobmanager.memory.process.size: 1024m
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
rest.bind-port: {rest}
blob.server.port: {blob}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.rpc.port: {task}
taskmanager.data.port: {data}
taskmanager.numberOfTaskSlots: {slots}
state.checkpoints.dir: file://{folder}/checkpoints
state.savepoints.dir: file://{folder}/checkpoints
heartbeat.interval: 3000
heartbeat.timeout: 30000
taskmanager.cpu.cores: 2
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 640m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.managed.size: 64m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 128m
taskmanager.memory.jvm-overhead.max: 128m
"""
LOGGING = """rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
appender.out.name=OUT
appender.out.type=CONSOLE
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %-5p %c - %m%n
"""
OPENED = (
    "java.base/java.lang java.base/java.lang.reflect java.base/java.net java.base/java.io java.base/java.nio java.base/java.text "
    "java.base/java.time java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/sun.nio.ch"
)


def install_job_server() -> Path:
    """The folder of the jars of Beam's job server, 250 MB."""
    require_java()
    return installed(f"beam-flink-1.19-{RUNNER}-2", partial(copy_jars, RUNNER_JARS))


class Flink(Service):
    """A standalone cluster of one task manager with two slots. `address` is the `host:port` of its REST API."""

    name = "flink"

    @classmethod
    def install(cls) -> Path:
        require_java()
        install_job_server()
        return installed(f"flink-{VERSION}-1", _build)

    def use(self, address: str) -> None:
        self.address = address

    def prepare(self, run: Run) -> Daemon:
        programs = self.install()
        folder = run.new_folder(self.name)
        self.checkpoints = folder / "checkpoints"
        self.checkpoints.mkdir()
        rest, rpc, blob, task, data = run.free_ports(5)
        self.address = f"127.0.0.1:{rest}"
        (folder / "log4j.properties").write_text(LOGGING)
        text = CONFIGURATION.format(rest=rest, rpc=rpc, blob=blob, task=task, data=data, slots=SLOTS, folder=folder)
        (folder / "flink-conf.yaml").write_text(text)
        hand_over(folder)
        folder.chmod(0o711)
        self.checkpoints.chmod(0o755)
        java = [
            require_java(),
            QUICK_START,
            f"-Dlog4j.configurationFile=file:{folder}/log4j.properties",
            *opened(OPENED),
        ]
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        memory = ["-Xmx768m", "-XX:MaxDirectMemorySize=512m"]
        self.task_manager = Daemon(
            "task-manager",
            [*java, *memory, "-cp", f"{programs}/lib/*", main, "--configDir", folder],
            folder,
            lambda said: "Successful registration at resource manager" in said,
            run,
        )
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        command = [
            *java,
            "-Xmx768m",
            "-cp",
            f"{programs}/lib/*",
            main,
            "--configDir",
            folder,
            "--executionMode",
            "cluster",
        ]
        return Daemon(self.name, command, folder, lambda said: "Rest endpoint listening at" in said, run)

    def start(self) -> None:
        super().start()
        self.task_manager.start()

    def stop(self) -> None:
        self.task_manager.stop()
        super().stop()

    def kill(self) -> None:
        self.task_manager.kill()
        super().kill()


class WorkerPool:
    """Starts Python workers for whoever asks, as a pool beside a task manager does. `address` is its `host:port`."""

    def __init__(self, run: Run, folder: Path, variables: dict[str, str]) -> None:
        [port] = run.free_ports(1)
        self.address = f"localhost:{port}"
        environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
        # It says nothing while all is well.
        self._daemon = Daemon(
            "worker-pool", command, folder, lambda _: _answers(port), run, environment, own_account=False
        )

    def start(self) -> None:
        self._daemon.start()

    def stop(self) -> None:
        self._daemon.kill()

    def workers(self) -> list[int]:
        """The processes that it has started and that still run."""
        assert self._daemon.process
        return [pid for pid in _children(self._daemon.process.pid) if _running(pid)]

    def kill_worker(self) -> int:
        """`kill -9` of one of them; returns which."""
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (tasks / "children").read_text().split())
    return found


def _running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _build(folder: Path) -> None:
    """Takes Flink's own distribution out of what PyPI has for Python's users of Flink."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = f"apache-flink-libraries=={VERSION}"
    run_command([*pip, "--no-binary=:all:", "--dest", folder, wanted], f"downloading {wanted} from PyPI")
    [archive] = folder.glob("*.tar.gz")
    (folder / "lib").mkdir()
    with tarfile.open(archive) as packed:
        for member in packed:
            name = Path(member.name)
            if name.parent.name == "lib" and name.name.startswith(("flink-dist", "log4j")):
                member.name = name.name
                packed.extract(member, folder / "lib", filter="data")
    archive.unlink()
