"""Builds the site: `.venv/bin/python docs/tools/site.py [FOLDER]`, or `serve`. A link, an anchor or a docstring that leads nowhere fails it.

Its pages are those of docs/ and of the root (README is the first), brought together in a folder where the package has its name.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROJECT_PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
# What a reader wants first; pages that aren't named come behind, by their files' names.
_FIRST = {
    "how-to": (
        *("logs", "kafka", "mysql", "elasticsearch", "page", "ask", "kibana", "dead-letters", "monitoring"),
        *("raw-store", "reprocess", "rollups", "pseudonyms", "own-pipeline", "beam-yaml"),
        *("deploy", "flink", "dataflow"),
    ),
    "reference": (
        *("options", "commands", "input", "tables", "elasticsearch-index", "dead-letters", "metrics", "procedures"),
        *("exit-codes", "api"),
    ),
    "explanation": ("exactness", "late-data", "time-spent", "sketches", "urls"),
    "decisions": ("README",),
}
_TITLES = {"how-to": "How to", "reference": "Reference", "explanation": "Explanation", "decisions": "Decisions"}


def main(arguments: Sequence[str]) -> int:
    """Builds into the folder, `site` by default, or serves while pages are written. Returns the generator's exit status."""
    serves = list(arguments) == ["serve"]
    target = ROOT / (arguments[0] if arguments and not serves else "site")
    with tempfile.TemporaryDirectory(prefix="clickstream-docs-") as folder:
        stage(Path(folder))
        command = ["serve"] if serves else ["build", "--strict"]
        status = subprocess.run([sys.executable, "-m", "zensical", *command], cwd=folder, check=False).returncode
        if status == 0 and not serves:
            shutil.copytree(Path(folder, "site"), target, dirs_exist_ok=True)
    return status


def stage(folder: Path) -> None:
    """Brings pages, settings and sources together."""
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("tools"))
    for page in (folder / "docs").rglob("*.md"):
        page.write_text(from_docs(page.read_text()))
    for name in ("README.md", *PROJECT_PAGES):
        if (ROOT / name).exists():
            (folder / "docs" / name).write_text((ROOT / name).read_text().replace("](docs/", "]("))
    settings = yaml.safe_load((DOCS / "tools/site.yml").read_text()) | {"nav": navigation(folder / "docs")}
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (folder / "clickstream").symlink_to(ROOT)


def from_docs(markdown: str) -> str:
    """A page's links to the root's pages, which on the site stand one folder nearer."""
    names = "|".join(("README.md", *PROJECT_PAGES))
    return re.sub(rf"\]\(\.\./((?:\.\./)*(?:{names})[)#])", r"](\1", markdown)


def links(markdown: str) -> list[str]:
    """The files that a page leads to, or shows."""
    targets = re.findall(r"\]\(([^)\s#]+)", markdown)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def navigation(docs: Path) -> list[object]:
    """All pages, in the order in which they are wanted."""
    folders = [{title: [f"{folder}/{name}.md" for name in _names(docs / folder)]} for folder, title in _TITLES.items()]
    measured = sorted(
        page.name for page in docs.glob("*.md") if page.name not in ("README.md", "tutorial.md", *PROJECT_PAGES)
    )
    project = [name for name in PROJECT_PAGES if (docs / name).exists()]
    return ["README.md", "tutorial.md", *folders[:-1], {"Measured": measured}, folders[-1], {"Project": project}]


def _names(folder: Path) -> list[str]:
    names, first = sorted(page.stem for page in folder.glob("*.md")), _FIRST[folder.name]
    return sorted(names, key=lambda name: first.index(name) if name in first else len(first))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
