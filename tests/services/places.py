"""Folders and ports: where programs are kept, where servers run, and as whom."""

import os
import random
import socket
import stat
import tempfile
from pathlib import Path

from tests.services.errors import ServiceError

NOBODY = 65_534  # an account that every Linux has
SHARED_TEMPORARY = Path("/var/tmp")  # noqa: S108 (a folder of a random name is made in it)
SHARED_CACHE = Path("/var/cache/clickstream-beam/services")
# Below the range from which Linux takes the ports of outgoing connections: a stopped server's port stays free.
PORTS = range(20_000, 32_000)


def is_root() -> bool:
    """Whether this process may, and must, start servers under another account."""
    return os.geteuid() == 0


def reachable(folder: Path) -> bool:
    """Whether any account may enter the folder (as far as it exists)."""
    folder = folder.absolute()
    return all(not place.exists() or place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))


def cache_folder() -> Path:
    """`$CLICKSTREAM_CACHE`, else `clickstream-beam/services` in the user's cache (in root's case, maybe in /var/cache).

    Root's servers run under another account: the folder must be one that all accounts can enter.

    Raises:
        ServiceError: Root named a folder that the servers' account can't enter.
    """
    chosen = os.environ.get("CLICKSTREAM_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(chosen) if chosen else home / "clickstream-beam" / "services"
    if is_root() and not reachable(folder):
        if chosen:
            message = (
                f"CLICKSTREAM_CACHE={chosen}: not all may enter it, and servers don't run as root. Name another folder."
            )
            raise ServiceError(message)
        folder = SHARED_CACHE
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def new_run_folder() -> Path:
    """A new temporary folder that the servers' account can enter."""
    usual = Path(tempfile.gettempdir())
    parent = usual if not is_root() or reachable(usual) else SHARED_TEMPORARY
    folder = Path(tempfile.mkdtemp(prefix="clickstream-", dir=parent))
    folder.chmod(0o711)
    return folder


def hand_over(folder: Path) -> None:
    """Gives the folder and all in it to the servers' account, and to no other."""
    folder.chmod(0o700)
    if is_root():
        for place in (folder, *folder.rglob("*")):
            os.chown(place, NOBODY, NOBODY, follow_symlinks=False)


def reserve_port() -> tuple[int, socket.socket]:
    """A port of 127.0.0.1 on which nobody listens, and what keeps other runs off it for as long as it is open."""
    for port in random.sample(PORTS, len(PORTS)):
        reservation = socket.socket(socket.AF_UNIX)
        if _bound(reservation, f"\0clickstream-port-{port}"):
            with socket.socket() as probe:
                if _bound(probe, ("127.0.0.1", port)):
                    return port, reservation
        reservation.close()
    message = f"No port from {PORTS.start} to {PORTS.stop} is free: stop what listens there."
    raise ServiceError(message)


def _bound(probe: socket.socket, address: str | tuple[str, int]) -> bool:
    try:
        probe.bind(address)
    except OSError:
        return False
    return True
