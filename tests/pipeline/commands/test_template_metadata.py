import re
from importlib.metadata import version
from pathlib import Path

import pytest

from clickstream.io.errors import UserError
from clickstream.pipeline.commands import template_metadata
from clickstream.pipeline.commands.template_metadata import LEFT_OUT, metadata
from clickstream.pipeline.options import job_parser

ROOT = Path(__file__).parents[3]
PARAMETERS = metadata()["parameters"]


def test_what_is_committed_is_what_the_options_give(capsys) -> None:
    assert template_metadata.main([]) == 0
    assert capsys.readouterr().out == (ROOT / "dataflow/metadata.json").read_text(encoding="utf-8")


def test_every_option_of_a_job_there_is_a_parameter() -> None:
    options = {action.dest for action in job_parser(command="submit-dataflow")._actions} - {"help"}
    assert set(LEFT_OUT) < options
    assert {p["name"] for p in PARAMETERS} == options - set(LEFT_OUT) | {"sdk_container_image"}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p["name"])
def test_a_parameter_says_what_it_is(parameter) -> None:
    assert set(parameter) == {"name", "label", "helpText", "isOptional", "regexes"}
    assert re.fullmatch(r"[A-Z][A-Za-z' ]+", parameter["label"])
    assert parameter["helpText"]
    assert "--" not in parameter["helpText"]
    assert parameter["isOptional"] == (parameter["name"] not in ("bootstrap_servers", "topic"))
    assert all(regex.startswith("^") and regex.endswith("$") for regex in parameter["regexes"])


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p["name"])
def test_patterns_are_as_good_in_java(parameter) -> None:
    """Dataflow reads them by Java's rules: only what means the same there."""
    for regex in parameter["regexes"]:
        assert re.compile(regex)
        assert not re.search(r"\(\?[^:]|\\[^Ss.\\\[\]+/-]", regex)


def test_no_parameter_takes_a_secret_itself() -> None:
    taken = [p for p in PARAMETERS if re.search(r"password|api_key|hash_user_ids", p["name"])]
    assert len(taken) == 6
    for parameter in taken:
        for value in ("hunter2", "env:PASSWORD", "file:/secret"):
            assert not any(re.search(regex, value) for regex in parameter["regexes"])


def test_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"template-metadata takes no options, such as --x=1"):
        template_metadata.main(["--x=1"])


def test_the_image_is_of_the_same_beam_and_of_files_that_are_there() -> None:
    lines = (ROOT / "dataflow/Dockerfile").read_text().splitlines()
    assert f"FROM apache/beam_python3.11_sdk:{version('apache-beam')}" in lines
    assert f"apache-beam=={version('apache-beam')}" in (ROOT / "requirements.lock").read_text()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert all((ROOT / name).exists() for names in copied for name in names)
    floors = re.search(r"FLOORS = \((.*)\)", (ROOT / "setup.py").read_text())
    packages = re.findall(r'"(\w+)"', floors[1])
    assert {[name] == names for names in copied for name in packages} == {True, False}
    assert {name for names in copied for name in names} >= {*packages, "setup.py", "requirements.lock"}
    sent = (ROOT / "dataflow/Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for names in copied for name in names} == {line for line in sent if line.startswith("!")}
    launched = next(line.partition("=")[2] for line in lines if line.startswith("ENV FLEX_TEMPLATE_PYTHON_PY_FILE"))
    assert (ROOT / launched.removeprefix("/template/clickstream-beam/")).is_file()
