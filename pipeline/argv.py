"""Options as they stand on a command line, read without Beam: for what must know a few of them before, or instead of, the job."""

from collections.abc import Sequence
from itertools import pairwise


def given(argv: Sequence[str]) -> set[str]:
    """The names of the options, without dashes. A value may stand behind `=`, or be the next argument."""
    return {argument[2:].partition("=")[0] for argument in argv if argument.startswith("--")}


def value_of(argv: Sequence[str], name: str) -> str:
    """What is given for an option, the last if there are several; empty if it is left out. Whether it may be that is for the job to say."""
    values = [
        argument.partition("=")[2] or (after if "=" not in argument else "")
        for argument, after in pairwise([*argv, ""])
        if argument.partition("=")[0] == f"--{name}"
    ]
    return values[-1] if values else ""


def without(argv: Sequence[str], name: str) -> list[str]:
    """The arguments but for an option and its values."""
    kept, before = list[str](), ""
    for argument in argv:
        if f"--{name}" not in (argument.partition("=")[0], before):
            kept.append(argument)
        before = argument
    return kept


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether help is wanted instead."""
    return bool({"-h", "--help"} & set(argv))
