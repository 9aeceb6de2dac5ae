"""What the docs say of the tree is so: paths lead to something, every room has its line, and a named test is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {path.name for path in ROOT.iterdir()}
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(
        page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "decisions"
    ),  # these tell of their day
]
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/?)`")


def tracked() -> set[str]:
    """Files and folders in version control: what lies about on one machine is nothing to point to."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {Path(line) for line in listed.stdout.splitlines()}
    return {str(path) for file in files for path in (file, *file.parents)}


def is_made(path: str) -> bool:
    """Whether version control leaves it out: what an installation, a run or a reader makes."""
    command = ["git", "check-ignore", "--quiet", path]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_code_lead_to_something(page) -> None:
    if page.name == "CHANGELOG.md":
        return  # it tells of its day
    there = tracked()
    named = {found.rstrip("/") for found in PATH.findall(page.read_text()) if "/" in found}
    ours = {path for path in named if path.split("/")[0] in TOP}
    assert {path for path in ours if path not in there and not is_made(path)} == set()


def test_every_room_has_its_line_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    tree = text.split("## Who may import whom")[0]
    floors = ("transforms", "io", "page", "pipeline")
    rooms = {path.parent for floor in floors for path in (ROOT / floor).glob("*/__init__.py")}
    assert rooms
    assert [str(room.relative_to(ROOT)) for room in rooms if f"  {room.name}/ " not in tree] == []


def test_the_tree_of_the_architecture_is_there() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text().split("## Who may import whom")[0]
    there, floor = tracked(), ""
    for indent, name in re.findall(r"^    ( *)([\w-]+)/ ", tree, re.MULTILINE):
        floor = floor if indent else name
        assert (f"{floor}/{name}" if indent else name) in there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_that_is_named_as_running_a_block_names_the_page(page) -> None:
    for name in re.findall(r"<!-- runs: (\S+) -->", page.read_text()):
        assert page.stem in (ROOT / name).read_text()
