"""Each command line in `deploy/` is one that the program takes: read by its own parsers, before it talks to any server."""

import re

import pytest
from deploy.manifests import Command, commands

from clickstream.pipeline.__main__ import main

UNKNOWN = "--no_such_option"


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.place)
def test_options_exist_and_take_these_values(command: Command, monkeypatch, capsys) -> None:
    """Refused is the one that is put behind them, and no other."""
    assert refused(command.arguments, monkeypatch, capsys) == {UNKNOWN}


@pytest.mark.parametrize("wrong", ["--windowseconds=60", "--window_seconds=a minute"])
def test_another_would_be_refused(wrong: str, monkeypatch, capsys) -> None:
    assert refused([*commands()[1].arguments, wrong], monkeypatch, capsys) == {wrong.partition("=")[0]}


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
