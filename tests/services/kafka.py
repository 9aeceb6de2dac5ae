"""Kafka: one node that is broker and controller (KRaft), from the jars in the Maven repository."""

import base64
import os
import shutil
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.installing import run as run_command
from tests.services.java import QUICK_START, copy_jars, require_java
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "4.1.2"
# Without a log4j binding the broker says nothing.
JARS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3")

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=134217728
num.network.threads=2
num.io.threads=2
"""
LOGGING = """appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
"""


class Kafka(Service):
    """One broker, without authentication. `address` is its `host:port`."""

    name = "kafka"

    @classmethod
    def install(cls) -> Path:
        require_java()
        return installed(f"kafka-{VERSION}-1", _build)

    def use(self, address: str) -> None:
        self.address = address

    def prepare(self, run: Run) -> Daemon:
        programs = self.install()
        folder = run.new_folder(self.name)
        port, controller = run.free_ports(2)
        self.address = f"127.0.0.1:{port}"
        shutil.copytree(programs / "data", folder / "data")
        (folder / "server.properties").write_text(
            PROPERTIES.format(port=port, controller=controller, data=folder / "data")
        )
        hand_over(folder)
        options = ["-Xms256m", "-Xmx768m", QUICK_START, "-XX:+ExitOnOutOfMemoryError"]
        command = [*_java(programs, *options), "kafka.Kafka", folder / "server.properties"]
        return Daemon(self.name, command, folder, lambda said: "Kafka Server started" in said, run)

    def create_topic(self, name: str, partitions: int = 1, **config: str | int) -> str:
        """Makes a topic and returns its name; in configuration names write `_` for `.`: `retention_ms=1000`."""
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 4})  # must outlive the answer
        admin.create_topics([topic], request_timeout=30)[name].result(60)
        return name


def _build(folder: Path) -> None:
    copy_jars(JARS, folder / "jars")
    (folder / "log4j2.properties").write_text(LOGGING)
    properties = folder / "server.properties"
    properties.write_text(PROPERTIES.format(port=9092, controller=9093, data=folder / "data"))
    # An empty formatted data folder is copied at each start: that spares a second JVM.
    identity = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "A")
    formatting = [
        *_java(folder, "-Xmx128m", QUICK_START),
        "kafka.tools.StorageTool",
        "format",
        "-t",
        identity,
        "-c",
        properties,
    ]
    run_command(formatting, "formatting Kafka's data folder")


def _java(programs: Path, *options: str) -> list[str | Path]:
    logging = f"-Dlog4j2.configurationFile=file:{programs}/log4j2.properties"
    return [require_java(), *options, "-Djava.awt.headless=true", logging, "-cp", f"{programs}/jars/*"]
