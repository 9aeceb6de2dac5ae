"""HBase: master, region server and ZooKeeper in one process, and its Thrift server, from the Maven repository's jars.

Its files are on the local file system: what is acknowledged has been handed to the operating system, and outlives a kill.
HBase makes sure of that itself (`hbase.unsafe.stream.capability.enforce`, true by default): with Hadoop 3.3 it may stay so.
"""

import secrets
from contextlib import closing
from pathlib import Path
from shlex import join
from urllib.parse import urlsplit

import happybase

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.java import QUICK_START, copy_jars, java_17, opened
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "2.6.1"
HADOOP = "3.3.6"  # in place of the 2.10 that HBase asks for: two jars, and made for Java 17
HADOOP_GROUP = "org.apache.hadoop"
LOG4J = "2.17.2"

LOGGING = """appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %-5p [%t] %c{2}: %.1000m%n%throwable{12}
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
"""
OPEN = """java.base/java.io java.base/java.lang java.base/java.lang.reflect java.base/java.net java.base/java.nio
java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/jdk.internal.misc
java.base/jdk.internal.ref java.base/sun.nio.ch java.security.jgss/sun.security.krb5"""
# Where one ends, or TERM arrives, both end.
SCRIPT = """{master} & master=$!
{thrift} & thrift=$!
trap : TERM
wait -n
kill $master $thrift
wait"""


class HBase(Service):
    """One node. `address` is the `host:port` of its Thrift server (Thrift 1: buffered transport, binary protocol)."""

    name = "hbase"

    @classmethod
    def install(cls) -> Path:
        java_17()
        return installed(f"hbase-{VERSION}-1", _build)

    def use(self, address: str) -> None:
        self.address = address

    def prepare(self, run: Run) -> Daemon:
        jars = self.install()
        folder = run.new_folder(self.name)
        thrift, *others = run.free_ports(4)
        self.address = f"127.0.0.1:{thrift}"
        (folder / "log4j2.properties").write_text(LOGGING)
        (folder / "hbase-site.xml").write_text(_settings(folder, *others))
        hand_over(folder)
        return Daemon(self.name, ["bash", "-c", _script(jars, folder, thrift)], folder, self._ready, run)

    def connect(self) -> happybase.Connection:
        """A new connection."""
        place = urlsplit(f"//{self.address}")
        return happybase.Connection(place.hostname, place.port, timeout=60_000)

    def create_table(self, *families: str) -> str:
        """Makes an empty table of these column families, of a name that was never used."""
        name = f"test_{secrets.token_hex(6)}"
        with closing(self.connect()) as connection:
            connection.create_table(name, {family: {} for family in families})
        return name

    def _ready(self, said: str) -> bool:
        return "Master has completed initialization" in said and "starting HBase ThreadPool Thrift server" in said


def _build(folder: Path) -> None:
    jars = [f"org.apache.hbase:hbase-{part}:{VERSION}" for part in ("server", "thrift")]
    jars += [f"{HADOOP_GROUP}:hadoop-client-{part}:{HADOOP}" for part in ("api", "runtime")]
    jars += [f"org.apache.logging.log4j:log4j-{part}:{LOG4J}" for part in ("slf4j-impl", "core", "1.2-api")]
    copy_jars(jars, folder, without=HADOOP_GROUP)


def _settings(folder: Path, zookeeper: int, master: int, region: int) -> str:
    values = {
        "hbase.rootdir": f"file://{folder}/root",
        "hbase.tmp.dir": f"{folder}/work",
        "hbase.zookeeper.property.dataDir": f"{folder}/zookeeper",
        "hbase.zookeeper.quorum": "127.0.0.1",
        "hbase.zookeeper.property.clientPort": zookeeper,
        "hbase.wal.provider": "filesystem",
        "hbase.master.port": master,
        "hbase.master.info.port": -1,
        "hbase.regionserver.port": region,
        "hbase.regionserver.info.port": -1,
        "hbase.master.hostname": "localhost",
        "hbase.regionserver.hostname": "localhost",
        "hbase.master.ipc.address": "127.0.0.1",
        "hbase.regionserver.ipc.address": "127.0.0.1",
        "hbase.thrift.info.port": -1,
        "hbase.regionserver.handler.count": 10,
        # It starts in seven seconds less: the region server asks more often for the master, which waits for no second one.
        "hbase.regionserver.msginterval": 100,
        "hbase.master.wait.on.regionservers.maxtostart": 1,
        # At the end it may find ZooKeeper gone, and would try for twenty seconds.
        "zookeeper.recovery.retry": 1,
    }
    properties = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in values.items()]
    return "\n".join(["<configuration>", *properties, "</configuration>"])


def _script(jars: Path, folder: Path, thrift: int) -> str:
    java = [java_17(), "-XX:+UseSerialGC", QUICK_START, "-Djava.net.preferIPv4Stack=true", *opened(OPEN)]
    java += [f"-Djava.io.tmpdir={folder}", "-XX:+ExitOnOutOfMemoryError", "-cp", f"{folder}:{jars}/*"]
    package = "org.apache.hadoop.hbase"
    servers = {
        "master": [*java, "-Xmx384m", f"{package}.master.HMaster", "start"],
        "thrift": [*java, "-Xmx128m", f"{package}.thrift.ThriftServer", "--bind", "127.0.0.1", "-p", thrift, "start"],
    }
    return SCRIPT.format(**{name: join(map(str, command)) for name, command in servers.items()})
