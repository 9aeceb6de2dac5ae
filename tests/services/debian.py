"""Programs from Debian packages, unpacked into a folder with all they need: nothing is installed on the machine."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.services.errors import ServiceError
from tests.services.installing import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = re.compile(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", re.MULTILINE)


def unpack(package: str, folder: Path, *, suite: str | None = None) -> None:
    """Downloads a package and its dependencies from the machine's own package source and unpacks them into the folder.

    Args:
        package: Its name.
        folder: Becomes a root folder of its own.
        suite: Another suite of the same Debian mirror, such as `sid`; None for the machine's.

    Raises:
        ServiceError: The machine has no apt, or no Debian mirror when a suite is asked for.
    """
    if not shutil.which("apt-get"):
        message = f"{package} comes from Debian packages, and there is no apt-get: install it, or name a server to use."
        raise ServiceError(message)
    work = folder / "apt"
    apt = ["apt-get", "-q", *_options(work, suite)]
    run([*apt, "update"], "apt-get update (of a private list)")
    run([*apt, "install", "-y", "--no-install-recommends", "--download-only", package], f"downloading {package}")
    for archive in sorted((work / "cache" / "archives").glob("*.deb")):
        run(["dpkg-deb", "-x", archive, folder], f"unpacking {archive.name}")
    shutil.rmtree(work)


def command(root: Path, program: str, libraries: Sequence[str] = ()) -> list[str | Path]:
    """Runs an unpacked program with the C library and loader that were unpacked beside it."""
    folders = [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"), *(root / name for name in libraries)]
    loader = next(found for folder in folders for found in folder.glob("ld-linux-*.so.*"))
    return [loader, "--library-path", ":".join(map(str, folders)), root / program]


def _options(work: Path, suite: str | None) -> list[str]:
    # An empty list of installed packages: apt then wants the whole closure, C library included.
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    options = [
        f"Dir::State::lists={work}/lists",
        f"Dir::State::status={work}/status",
        f"Dir::Cache={work}/cache",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        "APT::Sandbox::User=",
        "Debug::NoLocking=true",
    ]
    if suite:
        (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror(suite)} {suite} main\n")
        options += [f"Dir::Etc::sourcelist={work}/sources.list", "Dir::Etc::sourceparts=-"]
    return [word for option in options for word in ("-o", option)]


def _mirror(suite: str) -> str:
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = MIRROR.search("\n".join(file.read_text() for file in files if file.is_file()))
    if not found or not KEYRING.exists():
        message = f"apt knows no Debian mirror here to take packages of {suite} from: install the server, or name one."
        raise ServiceError(message)
    return found[1]
