"""The one reader of options, and the one parser behind each `--help`."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.options.job import JOB_OPTIONS
from clickstream.pipeline.options.serving import check_served, serves


class OptionParser(argparse.ArgumentParser):
    """Options by their whole names; what is wrong with them is told in one line."""

    def __init__(self, program: str, description: str | None = None, *, add_help: bool = True) -> None:
        super().__init__(prog=program, description=description, allow_abbrev=False, add_help=add_help)

    def error(self, message: str) -> NoReturn:
        """Raises a UserError instead of ending the process."""
        cause = f"{message.rstrip('.')}. See --help."
        raise UserError(cause)


class _Group:
    """Takes of a group's options those that serve a command, and says their defaults."""

    def __init__(self, group: Any, command: str | None) -> None:
        self._group, self._command = group, command

    def add_argument(self, name: str, **settings: Any) -> None:
        if self._command is None or serves(name.removeprefix("--"), self._command):
            self._group.add_argument(name, **settings | {"help": with_default(**settings)})


def with_default(help: str, default: Any = None, **_: Any) -> str:  # noqa: A002 (as argparse names it)
    """The text of an option's help, with its default."""
    return help if default is None or "(default: " in help else f"{help} (default: {default})"


def job_parser(
    groups: Sequence[type[PipelineOptions]] = JOB_OPTIONS,
    program: str = "clickstream",
    description: str | None = None,
    command: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of options for `--help`: those of the groups that serve the command, of all if none is named."""
    parser = OptionParser(program, description)
    for group in groups:
        group._add_argparse_args(_Group(parser.add_argument_group(str(group.__doc__)), command))  # noqa: SLF001
    return parser


def read_options(argv: Sequence[str], command: str | None = None) -> PipelineOptions:
    """Options of a job and of Beam from the command line.

    Args:
        argv: The options.
        command: What they are for; None: they aren't checked for that, such as a job's, which another command is handed.

    Raises:
        UserError: An option is unknown, its value wrong, or of no use to the command.
    """
    parser = OptionParser("clickstream", add_help=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)  # noqa: SLF001
    _, unknown = parser.parse_known_args(list(argv))
    if unknown:
        message = f"Unknown option {unknown[0]}: see --help for those there are."
        raise UserError(message)
    if command is not None:
        check_served(argv, command)
    return PipelineOptions(list(argv))
