import importlib
import pkgutil
import traceback
from collections.abc import Iterator

import pytest

import clickstream.io
from clickstream.io.errors import UserError, user_error_in


def kinds(of: type[UserError]) -> Iterator[type[UserError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


for module in pkgutil.walk_packages(clickstream.io.__path__, "clickstream.io."):
    importlib.import_module(module.name)
KINDS = [kind for kind in kinds(UserError) if kind.__module__.startswith("clickstream.")]


def worker_text(error: Exception) -> str:
    """An error as a runner hands it over."""
    try:
        raise error
    except Exception:
        return f"RuntimeError: bundle failed:\n{traceback.format_exc()}  at Prism"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_known_in_a_workers_traceback(kind) -> None:
    found = user_error_in(RuntimeError(worker_text(kind("b is away: start it. [while running 'Write/Send']"))))
    assert type(found) is UserError
    assert str(found) == "b is away: start it."


def test_there_are_kinds_of_several_rooms() -> None:
    rooms = {kind.__module__.split(".")[2] for kind in KINDS}
    assert {"errors", "secrets", "elasticsearch", "raw", "flink"} <= rooms


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("UserError"), OSError("clickstream.io.errors")])
def test_other_errors_stay_what_they_are(error) -> None:
    assert user_error_in(RuntimeError(worker_text(error))) is None


def test_an_error_of_a_step_is_told_without_the_step() -> None:
    assert (
        str(user_error_in(UserError("It broke: mend it. [while running 'ReadClicks/Lines']"))) == "It broke: mend it."
    )
