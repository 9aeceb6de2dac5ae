"""What is said twice in `deploy/`, or here and elsewhere in the project, is said alike."""

import re
from distutils.core import run_setup
from typing import Any

import pytest
from deploy.manifests import (
    COMPOSE,
    DEPLOY,
    FLINK,
    KUBERNETES,
    ROOT,
    UNITS,
    command_of,
    commands,
    compose_services,
    documents,
    pods,
    read,
    unit,
)

from tests.services import elasticsearch, flink, kafka

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def value(arguments: list[str], option: str) -> str:
    return dict(argument.partition("=")[::2] for argument in arguments)[option]


def test_prism_is_that_of_the_locked_beam() -> None:
    [beam] = re.findall(r"^apache-beam==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert re.findall(r"^ARG BEAM=(.*)$", DOCKERFILE, re.MULTILINE) == [beam]


def test_python_is_that_of_the_other_image() -> None:
    [python] = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    assert f"beam_python{python}_sdk" in (ROOT / "dataflow/Dockerfile").read_text()


def test_the_image_gets_every_folder_of_the_package() -> None:
    """And the builder is sent what the image gets."""
    folders = {name.split(".")[1] for name in run_setup(str(ROOT / "setup.py"), stop_after="init").packages}
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == folders
    sent = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    singly = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(sent) == sorted(name for names in singly for name in names.split())


def test_servers_are_those_that_the_tests_run() -> None:
    images = {name: service["image"] for name, service in read(COMPOSE)["services"].items()}
    assert images["kafka"] == f"apache/kafka:{kafka.VERSION}"
    assert images["elasticsearch"] == f"elasticsearch:{elasticsearch.VERSION}"
    assert images["kibana"] == f"kibana:{elasticsearch.VERSION}"


def test_flink_and_its_job_server_are_those_that_the_tests_run() -> None:
    pom = (DEPLOY / "flink/pom.xml").read_text()
    found = re.findall(
        r"<groupId>(.*)</groupId>\s*<artifactId>(.*)</artifactId>\s*<version>(.*)</version>\s*</dep", pom
    )
    assert tuple(":".join(parts) for parts in found) == flink.RUNNER_JARS
    [cluster] = [found for found in documents(FLINK) if found["kind"] == "FlinkDeployment"]
    major, minor, _ = flink.VERSION.split(".")
    assert cluster["spec"]["flinkVersion"] == f"v{major}_{minor}"
    assert cluster["spec"]["image"].startswith(f"flink:{major}.{minor}-")


def test_compose_names_only_what_it_has() -> None:
    whole = read(COMPOSE)
    for service in whole["services"].values():
        for needed, condition in service.get("depends_on", {}).items():
            healthy = condition["condition"] == "service_healthy"
            assert "healthcheck" in whole["services"][needed] or not healthy
        assert set(service.get("secrets", [])) <= whole["secrets"].keys()
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= whole["volumes"].keys()


def test_compose_lets_only_this_machine_in() -> None:
    ports = [port for service in read(COMPOSE)["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", compose_services())
def test_compose_hands_over_the_secrets_that_are_named(name) -> None:
    service = compose_services()[name]
    assert named_secrets(service["command"], "/run/secrets/") == set(service.get("secrets", []))


@pytest.mark.parametrize(("name", "pod"), pods((*KUBERNETES, *FLINK)), ids=str)
def test_pods_listen_where_they_are_asked(name, pod) -> None:
    [container] = pod["containers"]
    [port] = container["ports"]
    option = "--page_port" if name.endswith("page") else "--health_port"
    assert str(port["containerPort"]) == value(container["args"], option)
    [service] = [each for each in documents((*KUBERNETES, *FLINK)) if named(each, "Service", name)]
    [deployment] = [each for each in documents((*KUBERNETES, *FLINK)) if named(each, "Deployment", name)]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]


@pytest.mark.parametrize(("name", "pod"), pods((*KUBERNETES, *FLINK)), ids=str)
def test_nothing_restarts_a_pod_for_a_backlog(name, pod) -> None:
    """`/healthz` is 503 then: it may tell that a pod isn't ready, and must not be asked whether it lives."""
    [container] = pod["containers"]
    assert "startupProbe" not in container
    alive = container["livenessProbe"]
    assert "exec" not in alive
    assert alive.get("httpGet", {}).get("path") in (None, "/status.json")


def test_pods_are_nobody_and_write_nothing() -> None:
    for _, pod in pods((*KUBERNETES, *FLINK)):
        assert pod["securityContext"]["runAsUser"] == 10001
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/clickstream"} <= mounts  # noqa: S108 (a mount)
        if named_secrets(container["args"], "/run/secrets/clickstream/"):
            assert "/run/secrets/clickstream" in mounts
    assert "useradd --uid 10001 " in DOCKERFILE
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"


@pytest.mark.parametrize("path", UNITS, ids=str)
def test_units_load_the_secrets_that_are_named(path) -> None:
    [line] = unit(path)["ExecStart"]
    loaded = {each.partition(":")[0] for each in unit(path)["LoadCredential"]}
    assert named_secrets(line.split(), "%d/") == loaded


@pytest.mark.parametrize(
    ("job", "page", "host"),
    [
        ("compose.yaml: job", "compose.yaml: page", "job"),
        ("pod clickstream: job", "pod clickstream-page: page", "clickstream"),
        ("clickstream.service", "clickstream-page.service", "127.0.0.1"),
    ],
)
def test_the_page_asks_the_job(job, page, host) -> None:
    asked, asking = command_of(job), command_of(page)
    assert value(asking, "--health") == f"http://{host}:{value(asked, '--health_port')}"
    for option in ("--mysql", "--mysql_password"):
        assert value(asking, option) == value(asked, option)


def test_the_jobs_listen_beyond_their_container() -> None:
    jobs = [command.arguments for command in commands() if command.place.endswith(": job")]
    assert [value(arguments, "--health_host") for arguments in jobs] == ["0.0.0.0"] * 3  # noqa: S104


def named_secrets(arguments: list[str], folder: str) -> set[str]:
    return {argument.rpartition("/")[2] for argument in arguments if f"=file:{folder}" in argument}


def named(document: dict[str, Any], kind: str, name: str) -> bool:
    return document["kind"] == kind and document["metadata"]["name"] == name
