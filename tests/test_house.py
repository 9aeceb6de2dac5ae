"""The rules of the house: what may import what, and what may not stand in the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(r"^\s*(?:from|import) clickstream\.(\w+)(?:\.(\w+))?", re.MULTILINE)


def imports(folder: str) -> dict[str, set[tuple[str, str]]]:
    return {path.name: set(IMPORT.findall(path.read_text())) for path in (ROOT / folder).glob("*.py")}


def test_transforms_know_neither_io_nor_pipeline() -> None:
    assert {package for found in imports("transforms").values() for package, _ in found} == {"transforms"}


def test_io_knows_of_transforms_only_what_travels() -> None:
    found = {pair for pairs in imports("io").values() for pair in pairs}
    assert {package for package, _ in found} == {"io", "transforms"}
    assert {module for package, module in found if package == "transforms"} == {
        "lines",
        "runner",
        "schema",
        "shards",
        "sketches",
        "totals",
    }


def test_the_graph_fits_one_screen() -> None:
    source = (ROOT / "pipeline/jobs.py").read_text()
    assert len(source[source.index("def wire(") :].splitlines()) <= 40


def test_the_docs_name_every_tracking_parameter() -> None:
    from clickstream.transforms.urls import TRACKING_PARAMETERS, TRACKING_PREFIXES

    page = (ROOT / "docs/explanation/urls.md").read_text()
    assert all(f"`{name}`" in page for name in (*TRACKING_PARAMETERS, *(f"{prefix}*" for prefix in TRACKING_PREFIXES)))


@pytest.mark.parametrize("pattern", [r"(^|[^a-zA-Z])/(work|root|home)/[a-z]"])
def test_no_path_of_one_machine_is_in_the_tree(pattern) -> None:
    found = subprocess.run(
        ["git", "grep", "-nE", pattern, "--", ".", ":!*.lock", ":!tests/test_house.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
