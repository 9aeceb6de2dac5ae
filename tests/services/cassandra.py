"""Cassandra: one node, from the jars in the Maven repository."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.java import QUICK_START, copy_jars, java_17, opened
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "5.0.8"

# A write is on the disk when it is acknowledged (`batch`): by default a kill loses those of the last moments.
SETTINGS = """cluster_name: clickstream-tests
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
num_tokens: 1
auto_bootstrap: false
auto_snapshot: false
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage}
native_transport_port: {port}
commitlog_sync: batch
commitlog_total_space: 256MiB
memtable_heap_space: 96MiB
memtable_offheap_space: 96MiB
"""
LOGGING = """<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%-5level %date %logger{0} %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="OUT"/></root></configuration>
"""
# Nothing to wait for: the node is alone.
ALONE = ("initial_token=0", "ring_delay_ms=100", "skip_wait_for_gossip_to_settle=0", "superuser_setup_delay_ms=0")
OPEN = """java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.ref
java.base/java.lang.reflect java.base/java.math java.base/java.net java.base/java.nio java.base/java.util
java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/jdk.internal.loader
java.base/jdk.internal.math java.base/jdk.internal.misc java.base/jdk.internal.module java.base/jdk.internal.ref
java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch
java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
java.sql/java.sql jdk.management/com.sun.management.internal jdk.unsupported/sun.misc"""


class Cassandra(Service):
    """One node, without authentication. `address` is its `host:port`, its data center `datacenter1`."""

    name = "cassandra"

    @classmethod
    def install(cls) -> Path:
        java_17()
        return installed(f"cassandra-{VERSION}-1", _build)

    def use(self, address: str) -> None:
        self.address = address

    def prepare(self, run: Run) -> Daemon:
        jars = self.install()
        folder = run.new_folder(self.name)
        port, storage = run.free_ports(2)
        self.address = f"127.0.0.1:{port}"
        (folder / "cassandra.yaml").write_text(SETTINGS.format(port=port, storage=storage))
        (folder / "logback.xml").write_text(LOGGING)
        hand_over(folder)
        return Daemon(self.name, _command(jars, folder), folder, self._ready, run)

    def _ready(self, said: str) -> bool:
        """It announces that it is about to listen: a moment later it does."""
        place = urlsplit(f"//{self.address}")
        with socket.socket() as probe:
            announced = "Starting listening for CQL clients on" in said
            return announced and probe.connect_ex((place.hostname, place.port)) == 0

    @contextmanager
    def connect(self, keyspace: str | None = None) -> Iterator[Session]:
        """A session for the length of a `with` block."""
        place = urlsplit(f"//{self.address}")
        profile = ExecutionProfile(RoundRobinPolicy(), request_timeout=60)
        options = {"execution_profiles": {EXEC_PROFILE_DEFAULT: profile}, "protocol_version": 5}
        with Cluster([place.hostname], place.port, **options) as cluster:
            yield cluster.connect(keyspace)

    def create_keyspace(self) -> str:
        """Makes an empty keyspace of a name that was never used."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as session:
            replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
        return name


def _build(folder: Path) -> None:
    copy_jars([f"org.apache.cassandra:cassandra-all:{VERSION}"], folder)


def _command(jars: Path, folder: Path) -> list[str | Path]:
    settings = {
        "cassandra-foreground": "yes",
        "cassandra.config": f"file://{folder}/cassandra.yaml",
        "cassandra.storagedir": folder,
        "cassandra.triggers_dir": folder,
        "java.io.tmpdir": folder,
        "java.net.preferIPv4Stack": "true",
        "jdk.attach.allowAttachSelf": "true",
        "logback.configurationFile": folder / "logback.xml",
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()] + [f"-Dcassandra.{each}" for each in ALONE]
    memory = ["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", QUICK_START]
    agent = f"-javaagent:{next(jars.glob('jamm-*.jar'))}"
    main = "org.apache.cassandra.service.CassandraDaemon"
    return [java_17(), *memory, *opened(OPEN), *defined, agent, "-cp", f"{jars}/*", main]
