"""For all that runs the command lines of `deploy/`."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def own_python_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` is that of the tests, as it is the package's in the image."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
