"""The site builds without a warning; and what it should warn of fails it."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("docs_site", ROOT / "docs/tools/site.py")
site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site)


@pytest.fixture
def staged(tmp_path) -> Path:
    """The folder from which the site is built."""
    site.stage(tmp_path)
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def test_it_builds_strictly_with_every_page_and_the_docstrings(staged) -> None:
    done = build(staged)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(staged / "docs").with_suffix(".html") for path in (staged / "docs").rglob("*.md")}
    built = {path.relative_to(staged / "site") for path in (staged / "site").rglob("*.html")}
    assert {Path("README.html"), Path("decisions/README.html")} <= pages
    assert {page.with_name("index.html") if page.stem == "README" else page for page in pages} <= built
    api = (staged / "site/reference/api.html").read_text()
    assert 'id="clickstream.transforms.AggregateByPage"' in api
    assert "Clicks to page metrics by fixed window, URL and country." in api
    asked = re.findall(r"members: \[(.*)\]", (staged / "docs/reference/api.md").read_text())
    names = [name for line in asked for name in line.split(", ")]
    assert len(names) > 10
    assert [name for name in names if not re.search(rf'id="clickstream\.io\.[a-z]+\.{name}"', api)] == []


@pytest.mark.parametrize(
    "wrong",
    ["[nowhere](how-to/nowhere.md)", "[nowhere](how-to/kafka.md#nowhere)", "::: clickstream.transforms.Nowhere"],
)
def test_what_leads_nowhere_fails_it(staged, wrong) -> None:
    with (staged / "docs/tutorial.md").open("a") as page:
        page.write(f"\n{wrong}\n")
    assert build(staged).returncode != 0


def test_every_page_is_in_the_navigation(staged) -> None:
    text = str(site.navigation(staged / "docs"))
    pages = [str(path.relative_to(staged / "docs")) for path in (staged / "docs").rglob("*.md")]
    assert [page for page in pages if f"'{page}'" not in text] == []


@pytest.mark.parametrize(
    "folder", [".", *sorted({str(path.parent.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")})]
)
def test_links_hold_in_the_tree_too(folder) -> None:
    """Where readers of the repository follow them, without a site."""
    missing = [
        (page.name, target)
        for page in (ROOT / folder).glob("*.md")
        for target in site.links(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
