"""`completion`: prints what makes a shell complete commands and options, made of the options themselves."""

import argparse
import sys
from collections.abc import Sequence

import shtab

from clickstream.pipeline.command_line import COMMANDS, parser_of
from clickstream.pipeline.options import OptionParser

_SHELLS = ("bash", "zsh", "fish")
_PLACES = {
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "PATH_OR_GLOB": shtab.FILE,
    "JAR_OR_DIR": shtab.FILE,
    "DIR": shtab.DIRECTORY,
}


def main(argv: Sequence[str]) -> int:
    """Prints the shell's script. Returns the exit status.

    Raises:
        UserError: There is no such shell.
    """
    shell = own_parser().parse_args(list(argv)).shell
    sys.stdout.write(f"{shtab.complete(whole_parser(), shell)}\n")
    return 0


def own_parser() -> argparse.ArgumentParser:
    """Its argument."""
    parser = OptionParser("clickstream completion", __doc__)
    parser.add_argument("shell", choices=_SHELLS, help="whose script is printed")
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """All options of the job and of each command, in one parser, with what a file's name may stand behind."""
    whole = parser_of(None)
    whole.add_argument("--version", action="store_true", help="say which version it is, and end")
    commands = whole.add_subparsers(parser_class=argparse.ArgumentParser)
    parsers = [whole]
    for name, what in COMMANDS.items():
        parsers.append(
            commands.add_parser(name, help=what, description=what, parents=[parser_of(name)], add_help=False)
        )
    for parser in parsers:
        for action in parser._actions:  # noqa: SLF001 (argparse has no other way to list them)
            if action.metavar in _PLACES:
                action.complete = _PLACES[str(action.metavar)]  # type: ignore[attr-defined]
    return whole
