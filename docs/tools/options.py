"""Writes docs/reference/options.md from what each command's --help knows: `.venv/bin/python docs/tools/options.py`.

A test tells when they differ.
"""

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from clickstream.pipeline.__main__ import main
from clickstream.pipeline.command_line import COMMANDS
from clickstream.pipeline.options import ALL_COMMANDS, commands_of

PAGE = Path(__file__).parents[1] / "reference/options.md"
_HEAD = """# Options

<!-- Written by docs/tools/options.py: change the options' own texts, and run it. -->

`clickstream --help` says the same, and `--help` behind each [command](commands.md). Beam's own options are taken too, such as
`--direct_num_workers=2 --direct_running_mode=multi_processing` for more processes on one machine; unknown ones are refused.

A DURATION is `30s`, `10m`, `2h`, `7d`, or plain seconds. A REF leads to a secret: `env:NAME`, `file:PATH` or `secret:projects/P/secrets/S/versions/V`
(Google's Secret Manager).

An option is refused where it would have no effect. *For* names the commands that it is for: `batch` is the job over logs, `live` the one over Kafka
(with `--bootstrap_servers`), `until` that with `--until=now`.
"""
_DEFAULT = re.compile(r"\s*\(default: ([^()]*)\)$")

Groups = dict[str, list[argparse.Action]]


def page() -> str:
    """The page's text."""
    job = groups_of(parser_of())
    parts = [
        _HEAD,
        "\n## The job\n",
        *(f"\n### {_bare(title)}\n\n{table_with_commands(actions)}" for title, actions in job.items()),
    ]
    for command, what in COMMANDS.items():
        parts += _section(command, str(what), job)
    return "".join(parts)


def _section(command: str, what: str, job: Groups) -> Iterator[str]:
    """What a command takes beside the job's options, and which groups of these."""
    parser = parser_of(command)
    if parser is None:
        return
    known = {(action.dest, action.help) for actions in job.values() for action in actions}
    groups = groups_of(parser)
    own = [action for actions in groups.values() for action in actions if (action.dest, action.help) not in known]
    shared = [f"*{_bare(title)}*" for title, actions in groups.items() if title in job and not set(actions) <= set(own)]
    if not any(groups.values()):
        return
    yield f"\n## `{command}`\n\n{what[:1].upper()}{what[1:]}.\n"
    yield f"\n{table(own)}" if own else ""
    yield f"\nIt takes the job's options too: {', '.join(shared)}.\n" if shared else ""


def parser_of(*arguments: str) -> argparse.ArgumentParser | None:
    """The parser whose --help a command prints; None if it has none."""
    printed: list[argparse.ArgumentParser] = []

    def keep(parser: argparse.ArgumentParser, file: object = None) -> None:
        printed.append(parser)

    with (
        mock.patch.object(argparse.ArgumentParser, "print_help", keep),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        main([*arguments, "--help"])
    return printed[0] if printed else None


def groups_of(parser: argparse.ArgumentParser | None) -> Groups:
    """The options by the title of their group, without --help."""
    groups = parser._action_groups if parser else []  # noqa: SLF001 (argparse has no public way)
    found = {str(group.title): [a for a in group._group_actions if a.option_strings] for group in groups}  # noqa: SLF001
    return {title: options for title, actions in found.items() if (options := [a for a in actions if a.dest != "help"])}


def table(actions: list[argparse.Action]) -> str:
    """One line an option."""
    return "| option | default | |\n|---|---|---|\n" + "".join(map(_line, actions))


def table_with_commands(actions: list[argparse.Action]) -> str:
    """The same, with the commands that an option is for."""
    lines = [_line(action).replace(" |\n", f" | {_commands(action)} |\n") for action in actions]
    return "| option | default | | for |\n|---|---|---|---|\n" + "".join(lines)


def _commands(action: argparse.Action) -> str:
    found = commands_of(action.option_strings[0].removeprefix("--"))
    others = [command for command in ALL_COMMANDS if command not in found]
    if len(others) * 2 < len(found):
        return f"all but {', '.join(others)}" if others else "all"
    return ", ".join(found)


def _line(action: argparse.Action) -> str:
    text = " ".join(str(action.help or "").split()) % {"default": action.default}
    said = _DEFAULT.search(text)
    default = said[1] if said else "" if action.default in (None, False) else f"`{action.default}`"
    return f"| {_forms(action)} | {_cell(default)} | {_cell(_DEFAULT.sub('', text))} |\n"


def _forms(action: argparse.Action) -> str:
    name = action.option_strings[0]
    if action.nargs in (0, "?"):
        return f"`{name}`"
    values = list(map(str, action.choices or [action.metavar or action.dest.upper()]))
    return ", ".join([f"`{name}={values[0]}`", *(f"`{value}`" for value in values[1:])])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _bare(title: str) -> str:
    return title.rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
