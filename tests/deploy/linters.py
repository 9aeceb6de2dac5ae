"""What checks the files of `deploy/`: programs of the test environment, and what isn't on PyPI, put into the servers' cache."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.services import debian
from tests.services.go import go_install
from tests.services.installing import installed
from tests.services.java import copy_jars

ACTIONLINT = "1.7.12"
FLINK_OPERATOR = "1.10.0"


def said(*command: str | Path) -> tuple[int, str]:
    """The exit status of a program, and all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def of_environment(program: str) -> Path:
    """A program that came with the test environment."""
    return Path(sys.executable).with_name(program)


def against_schema(schema: str, path: Path) -> tuple[int, str]:
    """Compares a file with one of the schemas that come with check-jsonschema."""
    return said(of_environment("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", path)


def actionlint() -> Path:
    """The linter of GitHub's workflows."""

    def build(folder: Path) -> None:
        go_install(f"github.com/rhysd/actionlint/cmd/actionlint@v{ACTIONLINT}", folder)

    return installed(f"actionlint-{ACTIONLINT}", build) / "actionlint"


def systemd_analyze() -> Sequence[str | Path]:
    """The check of units that systemd has itself; where none is installed, that of Debian's package."""
    found = shutil.which("systemd-analyze")
    if found:
        return [found]
    root = installed("systemd-1", lambda folder: debian.unpack("systemd", folder))
    return debian.command(root, "usr/bin/systemd-analyze", ["usr/lib/systemd", "lib/systemd"])


def flink_schema(kind: str) -> dict[str, Any]:
    """What Flink's Kubernetes operator takes as `kind` of its v1beta1; other fields than these are refused."""
    jar = f"org.apache.flink:flink-kubernetes-operator-api:{FLINK_OPERATOR}"

    def fetch(folder: Path) -> None:
        copy_jars([jar], folder, without="*")
        [archive] = folder.glob("*.jar")
        shutil.unpack_archive(archive, folder / "api", "zip")

    definitions = installed(f"flink-operator-{FLINK_OPERATOR}", fetch) / "api/META-INF/fabric8"
    found = yaml.safe_load((definitions / f"{kind.lower()}s.flink.apache.org-v1.yml").read_text())
    [version] = [each for each in found["spec"]["versions"] if each["name"] == "v1beta1"]
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """A schema that refuses what it doesn't name, as `kubectl apply` does with `--validate=strict`."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(each) for name, each in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def refusals(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Where a document isn't as its schema says."""
    metadata = {"metadata": {"type": "object"}, "apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    whole = {**schema, "properties": {**schema["properties"], **metadata}}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(document)]
