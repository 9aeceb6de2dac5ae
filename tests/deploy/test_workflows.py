"""What runs at each change: GitHub's workflow, and the hooks of pre-commit."""

import re
import shlex

import pytest
from deploy.linters import actionlint, against_schema, of_environment, said
from deploy.manifests import ROOT, read

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow(path) -> None:
    status, text = against_schema("github-workflows", path)
    assert status == 0, text
    assert said(actionlint(), "-no-color", path) == (0, "")


def test_a_mistake_in_a_workflow(tmp_path) -> None:
    wrong = tmp_path / "tests.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("${{ matrix.python }}-bookworm", "${{ matrix.pyton }}-bookworm"))
    status, text = said(actionlint(), "-no-color", wrong)
    assert status == 1
    assert "pyton" in text


def test_the_workflow_runs_what_ci_runs_on_every_python() -> None:
    jobs = read(ROOT / ".github/workflows/tests.yml")["jobs"]
    [lowest, above] = re.findall(r'python_requires=">=3\.(\d+),<3\.(\d+)"', (ROOT / "setup.py").read_text())[0]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(lowest), int(above))]
    assert "bash .ci/run" in [step.get("run") for step in jobs["tests"]["steps"]]


def test_hooks() -> None:
    assert said(of_environment("pre-commit"), "validate-config", HOOKS) == (0, "")


def test_a_mistake_in_hooks(tmp_path) -> None:
    wrong = tmp_path / "config.yaml"
    wrong.write_text(HOOKS.read_text().replace("language: system", "language: sytem"))
    assert said(of_environment("pre-commit"), "validate-config", wrong)[0] == 1


def test_hooks_run_what_is_here() -> None:
    hooks = read(HOOKS)["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy"]
    assert all((ROOT / shlex.split(hook["entry"])[0]).exists() for hook in hooks)
