"""The files of `deploy/` as data, and the command lines in them as whoever runs them would see these."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
UNITS = tuple(sorted((DEPLOY / "systemd").glob("*.service")))
KUBERNETES = tuple(path for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml")
FLINK = tuple(sorted((DEPLOY / "flink").glob("*.yaml")))
PROGRAM = "/opt/clickstream/bin/clickstream"
OWN_IMAGES = ("clickstream-beam", "clickstream-beam-flink")


class Command(NamedTuple):
    """What one part of a deployment runs."""

    place: str
    arguments: list[str]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def documents(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [found for path in paths for found in yaml.safe_load_all(path.read_text())]


def compose_services() -> dict[str, dict[str, Any]]:
    """Those of this project's own image."""
    return {name: service for name, service in read(COMPOSE)["services"].items() if service["image"] in OWN_IMAGES}


def pods(paths: Sequence[Path]) -> list[tuple[str, dict[str, Any]]]:
    """What each pod of Kubernetes' own kinds is called, and its specification."""
    deployments = [found for found in documents(paths) if found["kind"] == "Deployment"]
    return [(found["metadata"]["name"], found["spec"]["template"]["spec"]) for found in deployments]


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a systemd unit; of some there are several."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def unit_command(path: Path) -> list[str]:
    """What systemd makes of `ExecStart=`: a variable that stands alone is split at spaces; `%d` is left."""
    given = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "systemd/clickstream.conf").read_text(), re.MULTILINE))
    [line] = unit(path)["ExecStart"]
    assert line.startswith(f"{PROGRAM} ")
    words = shlex.split(line.removeprefix(PROGRAM))
    return [part for word in words for part in (given[word[1:]].split() if word.startswith("$") else [word])]


def commands() -> list[Command]:
    """All command lines of the program."""
    found = [Command(f"compose.yaml: {name}", service["command"]) for name, service in compose_services().items()]
    for name, pod in pods((*KUBERNETES, *FLINK)):
        found += [Command(f"pod {name}: {each['name']}", each["args"]) for each in pod["containers"]]
    return found + [Command(path.name, unit_command(path)) for path in UNITS]


def command_of(place: str) -> list[str]:
    return dict(commands())[place]


def placed(arguments: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """The same command line with other addresses and folders. Each of `places` must occur in it."""
    found = list(arguments)
    for old, new in places.items():
        assert any(old in argument for argument in found), f"{old} is nowhere in {arguments}"
        found = [argument.replace(old, new) for argument in found]
    return found
