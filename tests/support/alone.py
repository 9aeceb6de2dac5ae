"""`@pytest.mark.alone`: a test that judges time runs while the other processes of the run (`pytest -n 3`) wait between two of theirs."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Files that are there anyway, since nothing is written to them: locks end with their process, and leave nothing behind.
_DOOR, _ROOM = Path(__file__), Path(__file__).parents[1] / "conftest.py"


def pytest_configure(config: pytest.Config) -> None:
    """Names the mark."""
    config.addinivalue_line("markers", "alone: judges time, so no other test of the run may take it meanwhile")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the test's time limit begins
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Shares the machine with other tests, or doesn't."""
    if not hasattr(item.config, "workerinput"):  # the only process
        return (yield)
    with _held(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _held(*, alone: bool) -> Iterator[None]:
    with _DOOR.open() as door, _ROOM.open() as room:
        # Whoever waits to be alone keeps the door, so that nobody new comes in.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
