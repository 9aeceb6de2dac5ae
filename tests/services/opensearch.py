"""OpenSearch: its jars from the Maven repository, on Java 17, and a class of a few lines that starts a node of them.

No distribution with its scripts, no security plugin: documents, bulk, templates, aliases, aggregations.
"""

import shutil
import urllib.request
from pathlib import Path

from tests.services.daemon import Daemon
from tests.services.installing import installed
from tests.services.installing import run as run_command
from tests.services.java import QUICK_START, copy_jars, java_17, require_java
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

VERSION = "2.19.6"  # the last for Java 17
ECJ = "3.41.0"
JARS = (
    f"org.opensearch:opensearch:{VERSION}",
    f"org.opensearch.plugin:transport-netty4-client:{VERSION}",
    "org.apache.logging.log4j:log4j-core:2.25.4",  # it doesn't start without
)


class OpenSearch(Service):
    """One node, without authentication. `address` is its URL."""

    name = "opensearch"

    @classmethod
    def install(cls) -> Path:
        return installed(f"opensearch-{VERSION}-1", _build)

    def use(self, address: str) -> None:
        self.address = address.rstrip("/")

    def prepare(self, run: Run) -> Daemon:
        jars, folder = self.install(), run.new_folder(self.name)
        port, transport = run.free_ports(2)
        self.address = f"http://127.0.0.1:{port}"
        for name in ("config", "data", "logs", "tmp"):
            (folder / name).mkdir()
        hand_over(folder)
        java = [java_17(), "-Xms512m", "-Xmx512m", QUICK_START, f"-Djava.io.tmpdir={folder / 'tmp'}"]
        node = ["-cp", f"{jars}/classes:{jars}/jars/*", "clickstream.services.OpenSearchNode"]
        return Daemon(self.name, [*java, *node, folder, str(port), str(transport)], folder, self._ready, run)

    def _ready(self, said: str) -> bool:
        if "started" not in said:
            return False
        try:
            with urllib.request.urlopen(self.address, timeout=3) as answer:  # noqa: S310 (an address of our own)
                return bool(answer.status == 200)
        except OSError:
            return False


def _build(folder: Path) -> None:
    jars, compiler = folder / "jars", folder / "compiler"
    copy_jars(JARS, jars)
    copy_jars([f"org.eclipse.jdt:ecj:{ECJ}"], compiler)
    source = Path(__file__).with_name("OpenSearchNode.java")
    java = Path(require_java()).resolve()
    classpath = ":".join(map(str, jars.glob("*.jar")))
    options = ["-17", "--system", java.parents[1], "-proc:none", "-nowarn", "-cp", classpath, "-d", folder / "classes"]
    run_command([java, "-jar", compiler / f"ecj-{ECJ}.jar", *options, source], "compiling OpenSearch's node")
    shutil.rmtree(compiler)
