"""What Tab completes, as bash itself answers; and the scripts of the other shells name every option."""

import subprocess

import pytest

from clickstream.pipeline.__main__ import main
from clickstream.pipeline.command_line import COMMANDS
from clickstream.pipeline.options import SERVED

ASK = """
source completion
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
$(complete -p clickstream | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("completion")


def script(shell, capsys) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["que"], {"query"}),
        (
            ["--max_"],
            {"--max_event_age", "--max_clock_skew", "--max_rejected_share", "--max_restarts", "--max_watermark_age"},
        ),
        (["query", "--fo"], {"--format"}),
        (["query", "--format", ""], {"table", "json"}),
        (["verify", "--raw_"], {"--raw_store", "--raw_table"}),
        (["verify", "--reten"], {""}),
        (["--input", "cli"], {"clicks.ndjson"}),
    ],
)
def test_bash_completes_what_serves(typed, offered, folder, capsys) -> None:
    if not (folder / "completion").exists():
        (folder / "completion").write_text(script("bash", capsys))
        (folder / "clicks.ndjson").touch()
    asked = ["bash", "-c", ASK, "bash", "clickstream", *typed]
    answer = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    assert set(answer.stdout.split("\n")[:-1]) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_knows_all_commands_and_options(shell, capsys) -> None:
    text = script(shell, capsys)
    assert [name for name in (*COMMANDS, *SERVED) if name not in text] == []


def test_another_shell_is_refused_in_one_line(capsys) -> None:
    assert main(["completion", "cmd"]) == 2
    said = capsys.readouterr().err
    assert "invalid choice: 'cmd'" in said
    assert said.count("\n") == 1
