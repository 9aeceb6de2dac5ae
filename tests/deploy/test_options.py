"""Each command line in `deploy/` is one that the program takes: read by its own parsers, before it talks to any server."""

import re

import pytest
from deploy.manifests import Command, command_of, commands

from clickstream.pipeline.__main__ import main
from clickstream.pipeline.argv import given
from clickstream.pipeline.command_line import COMMANDS
from clickstream.pipeline.options import ALL_COMMANDS, serves

UNKNOWN = "--no_such_option"


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.place)
def test_options_exist_and_take_these_values(command: Command, monkeypatch, capsys) -> None:
    """Refused is the one that is put behind them, and no other."""
    assert refused(command.arguments, monkeypatch, capsys) == {UNKNOWN}


@pytest.mark.parametrize("wrong", ["--windowseconds=60", "--window_seconds=a minute"])
def test_another_would_be_refused(wrong: str, monkeypatch, capsys) -> None:
    assert refused([*commands()[1].arguments, wrong], monkeypatch, capsys) == {wrong.partition("=")[0]}


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.place)
def test_each_option_serves_its_command(command: Command) -> None:
    assert without_effect(command.arguments) == []


@pytest.mark.parametrize(
    ("place", "useless"),
    [
        ("compose.yaml: page", "--window_seconds=60"),
        ("compose.yaml: dashboard", "--early_results=10s"),
        ("pod clickstream-flink-job: job", "--page_port=8350"),
        ("clickstream.service", "--input=clicks.ndjson"),
    ],
)
def test_one_without_effect_would_be_found(place: str, useless: str) -> None:
    assert without_effect([*command_of(place), useless]) == [useless.partition("=")[0]]


def without_effect(arguments: list[str]) -> list[str]:
    """The options that the command of a command line has no use for. Of `generate`, whose options are its own, every one is taken or unknown."""
    name = arguments[0] if arguments[0] in COMMANDS else "live"
    return [f"--{option}" for option in given(arguments) if name in ALL_COMMANDS and not serves(option, name)]


def refused(arguments: list[str], monkeypatch, capsys) -> set[str]:
    """The options that the program names when it refuses a command line."""
    monkeypatch.setenv("CLICKSTREAM_SUPERVISED", "1")  # in this process, not under a supervisor
    assert main([*arguments, UNKNOWN]) == 2
    return set(re.findall(r"--\w+", capsys.readouterr().err)) - {"--help"}


def test_every_part_has_its_command() -> None:
    assert [command.place for command in commands()] == [
        "compose.yaml: feed",
        "compose.yaml: job",
        "compose.yaml: page",
        "compose.yaml: dashboard",
        "pod clickstream: job",
        "pod clickstream-page: page",
        "pod clickstream-flink-job: job",
        "clickstream-page.service",
        "clickstream.service",
    ]


def test_secrets_are_named_by_their_files() -> None:
    options = [option for command in commands() for option in command.arguments]
    secret = [option for option in options if re.match(r"--\w*(password|token|key)=", option)]
    assert len(secret) >= 9
    assert all(re.fullmatch(r"--\w+=file:(/run/secrets/|%d/)[\w/]+", option) for option in secret), secret
