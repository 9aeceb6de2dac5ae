"""The rules of the house: who may import whom, what a room shows, and what may not stand in the tree."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("transforms", "io", "page", "pipeline")
ACROSS = {  # rooms of io that may know another, beside its ground
    "io.kafka": {"io.schemas"},
    "io.raw": {"io.sql", "io.logs"},
    "io.results": {"io.sql", "io.elasticsearch"},
    "io.sample": {"io.kafka"},
}


class Import(NamedTuple):
    """`importer` (a module) takes something from `module`; both dotted, below `clickstream`."""

    importer: str
    module: str

    def __str__(self) -> str:
        return f"{self.importer} imports {self.module}"


def is_room(name: str) -> bool:
    return "." in name and (ROOT / name.replace(".", "/")).is_dir()


def room_of(module: str) -> str:
    """`io.sql` for `io.sql.writer`; the floor itself, its ground, for `io.errors`."""
    floor, *below = module.split(".")
    return f"{floor}.{below[0]}" if below and is_room(f"{floor}.{below[0]}") else floor


def modules() -> Iterator[tuple[str, Path]]:
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports() -> list[Import]:
    found = []
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clickstream."):
                module = str(node.module)[len("clickstream.") :]
                names = {alias.name for alias in node.names} - shown(module)
                inner = [f"{module}.{name}" for name in names if is_module(f"{module}.{name}")]
                found += [Import(name, target) for target in inner or [module]]
    return found


def shown(module: str) -> set[str]:
    """The `__all__` of a room's face."""
    face = ROOT / module.replace(".", "/") / "__init__.py"
    tree = ast.parse(face.read_text()) if face.is_file() else ast.Module([], [])
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"]
    return set(ast.literal_eval(lists[0])) if lists else set()


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


IMPORTS = imports()


def broken(floor: str, allowed: set[str]) -> list[str]:
    """Imports of a floor's rooms from others than themselves and `allowed` (rooms, or floors for their ground)."""
    return [
        str(found)
        for found in IMPORTS
        if found.importer.startswith(f"{floor}.")
        and room_of(found.module) not in {room_of(found.importer), *allowed, *ACROSS.get(room_of(found.importer), ())}
    ]


def faces() -> list[str]:
    return [
        name.removesuffix(".__init__") for name, _ in modules() if name.count(".") > 1 and name.endswith(".__init__")
    ]


def test_transforms_know_only_themselves_and_rooms_only_the_ground() -> None:
    ground = {"transforms"}
    assert [text for text in broken("transforms", ground) if not text.startswith("transforms.__init__ ")] == []
    assert all(found.module.startswith("transforms") for found in IMPORTS if found.importer.startswith("transforms."))


def test_rooms_of_io_know_the_ground_and_the_named_neighbours() -> None:
    assert broken("io", {"io", "transforms"}) == []


def test_the_page_knows_results_and_what_answers() -> None:
    assert broken("page", {"page", "io", "io.results", "transforms", "transforms.answer"}) == []
    assert {found.importer.partition(".")[0] for found in IMPORTS if found.module.startswith("page")} == {
        "page",
        "pipeline",
    }


def test_commands_never_import_each_other() -> None:
    rooms = {found.importer: found.module for found in IMPORTS if room_of(found.importer) == "pipeline.commands"}
    assert [pair for pair in rooms.items() if pair[1].startswith("pipeline.commands")] == []


def test_options_know_nothing_that_talks() -> None:
    talks = {
        found.module
        for found in IMPORTS
        if room_of(found.importer) == "pipeline.options" and found.module.startswith("io")
    }
    assert talks <= {"io.errors", "io.secrets"}


def test_what_outlives_the_job_imports_nothing_heavy() -> None:
    watch = [found for found in IMPORTS if room_of(found.importer) == "pipeline.watch"]
    assert {room_of(f.module) for f in watch if f.module != "pipeline.argv"} <= {"pipeline.watch", "io"}
    heavy = "{'apache_beam', 'pyarrow', 'numpy'} & {name.split('.')[0] for name in sys.modules}"
    asked = [sys.executable, "-c", f"import sys, clickstream.pipeline.watch; print({heavy})"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True, cwd="/").stdout == "set()\n"


def test_runners_and_watch_never_import_commands() -> None:
    below = ("pipeline.runners", "pipeline.watch", "pipeline.options")
    assert [
        str(found)
        for found in IMPORTS
        if found.importer.startswith(below) and found.module.startswith("pipeline.commands")
    ] == []


def test_from_outside_only_a_rooms_face_is_imported() -> None:
    def enters(found: Import) -> bool:
        module = found.module if is_room(found.module) else found.module.rpartition(".")[0]
        return found.module != module and "." in module and not found.importer.startswith(f"{module}.")

    assert [str(found) for found in IMPORTS if enters(found)] == []


@pytest.mark.parametrize("face", faces())
def test_a_face_lists_all_that_it_has(face: str) -> None:
    module = importlib.import_module(f"clickstream.{face}")
    assert module.__doc__
    tree = ast.parse(Path(module.__file__).read_text()).body
    own = {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.targets[0].id for node in tree if isinstance(node, ast.Assign)} - {"__all__"}
    brought = {
        alias.asname or alias.name
        for node in tree
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("clickstream")
        for alias in node.names
    }
    assert {name for name in own | brought if not name.startswith("_")} == set(getattr(module, "__all__", ()))


def test_the_graph_fits_one_screen() -> None:
    source = (ROOT / "pipeline/jobs.py").read_text()
    assert len(source[source.index("def wire(") :].splitlines()) <= 40


def test_the_docs_name_every_tracking_parameter() -> None:
    from clickstream.transforms.parse.tracking import TRACKING_PARAMETERS, TRACKING_PREFIXES

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
