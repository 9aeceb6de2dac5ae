"""Options without effect are refused, in every command, by one table."""

import argparse
import importlib
import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.command_line import COMMANDS, parser_of
from clickstream.pipeline.options import ALL_COMMANDS, SERVED, check_served, job_parser, read_options, serves

NO_JOBS_OPTIONS = ("generate", "template-metadata", "completion", "try-format")  # they have options of their own
LIVE = ["--bootstrap_servers=127.0.0.1:1", "--topic=t"]
AS_CALLED = {
    "batch": ["--input=x"],
    "until": [*LIVE, "--until=now"],
    "flink": ["flink", *LIVE, "--flink_master=[local]"],
    "submit-dataflow": ["submit-dataflow", *LIVE, "--project=p", "--region=r", "--temp_location=gs://b/f"],
}


def options_of(command: str) -> set[str]:
    actions = parser_of(command)._actions
    return {action.option_strings[0].removeprefix("--") for action in actions} - {"-h"}


def values() -> dict[str, str]:
    """A value of each option that its reader takes."""
    for command in COMMANDS:
        importlib.import_module(f"clickstream.pipeline.commands.{command.replace('-', '_')}")
    parser = argparse.ArgumentParser()
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    given = {
        "max_rejected_share": "50%",
        "time_spent": "dwell",
        "rollups": "1h",
        "breakdowns": "browser",
        "from": "2026-11-01",
        "to": "2026-11-02",
        "sketch_size": "off",
    }
    found = {}
    for action in parser._actions:
        name = action.option_strings[0].removeprefix("--")
        value = given.get(name) or (action.choices[0] if action.choices else "10")
        found[name] = f"--{name}" if action.nargs == 0 else f"--{name}={value}"
    return {name: found[name] for name in SERVED}


VALUES = values()


def test_every_option_of_ours_is_in_the_table() -> None:
    known = set().union(*(options_of(command) for command in COMMANDS if command not in NO_JOBS_OPTIONS))
    ours = {a.option_strings[0].removeprefix("--") for a in job_parser()._actions} - {"-h"}
    assert known | ours == set(SERVED)
    assert set().union(*SERVED.values()) == set(ALL_COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in NO_JOBS_OPTIONS])
def test_help_lists_what_serves_the_command_and_nothing_else(command) -> None:
    of_beam = {"dry_run"} if command == "submit-dataflow" else set()
    assert options_of(command) == {name for name in SERVED if serves(name, command)} - of_beam


@pytest.mark.parametrize("command", [c for c in ALL_COMMANDS if c != "live"])
def test_each_command_refuses_what_is_not_for_it_in_one_line(command, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKSTREAM_SUPERVISED", "1")  # the job itself, in this process
    called = AS_CALLED.get(command, [command])
    chooses_the_job = ("until", "bootstrap_servers", *(["input"] if command == "flink" else []))
    others = [name for name in SERVED if not serves(name, command) and name not in chooses_the_job]
    assert others
    for name in others:
        assert main([*called, VALUES[name]]) == 2, name
        said = capsys.readouterr().err
        assert said.startswith(f"--{name} isn't for "), said
        assert re.search(r": .{10,}\.\n\Z", said), said
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_live_job_refuses_too(capsys, monkeypatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_SUPERVISED", "1")
    for name in [name for name in SERVED if not serves(name, "live") and name != "until"]:
        assert main([*LIVE, VALUES[name]]) == 2
        assert capsys.readouterr().err.startswith(f"--{name} isn't for the live job: ")


def test_what_serves_is_taken() -> None:
    for command in ALL_COMMANDS:
        arguments = [VALUES[name] for name in SERVED if serves(name, command)]
        read_options(arguments, command)


def test_beams_own_options_are_for_all() -> None:
    for command in ALL_COMMANDS:
        check_served(["--direct_num_workers=2", "--experiments", "x"], command)


@pytest.mark.parametrize(
    ("command", "option", "cure"),
    [
        ("batch", "--topic=t", "--topic isn't for the job over logs: it reads a topic: give --bootstrap_servers"),
        ("until", "--early_results=5s", "results come once, at the end: leave it out"),
        ("query", "--raw_store=sqlite", "leave it out; it is for the job over logs, the live job, --until=now, "),
        ("verify", "--user=u", "leave it out; it is for forget."),
    ],
)
def test_the_cure_is_said(command, option, cure) -> None:
    with pytest.raises(UserError, match=re.escape(cure)):
        read_options([option], command)


def command_lines() -> list[tuple[str, str]]:
    """Page and line of each call in the docs and in README, with what a backslash joins."""
    root, found = Path(__file__).parents[3], []
    for page in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        if "decisions" in page.parts:
            continue
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        calls = re.findall(
            r"(?:(?<![/\w])clickstream(?:\.pipeline)?|run_local\.sh|run_flink\.sh) ([^`\n]*--[^`\n]*)", text
        )
        found += [(str(page.relative_to(root)), call) for call in calls]
    return found


def test_no_call_in_the_docs_is_refused() -> None:
    lines = command_lines()
    assert len(lines) > 30
    refused = []
    for page, line in lines:
        name = line.partition(" ")[0]
        arguments = re.findall(r"--[a-z_]+", line)
        live = "until" if "--until" in arguments else "live" if "--bootstrap_servers" in arguments else "batch"
        command = name if name in COMMANDS else live if name.startswith("-") else None
        if command in ALL_COMMANDS and "--help" not in arguments:
            refused += [(page, line, name) for name in arguments if not serves(name.removeprefix("--"), command)]
    assert refused == []
