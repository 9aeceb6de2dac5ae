"""The files of `deploy/` are what those who read them take: by their schemas and linters, and by the tool's own check where there is one.

Each check is shown to refuse a mistake, too.
"""

import kubernetes_validate
import pytest
import yaml
from deploy.linters import against_schema, flink_schema, of_environment, refusals, said, systemd_analyze
from deploy.manifests import COMPOSE, DEPLOY, FLINK, KUBERNETES, ROOT, UNITS, documents

KUBERNETES_VERSIONS = ("1.30", "1.37")
# Google's image has no other tag that stays.
HADOLINT = ("--no-color", "--ignore=DL3007")


@pytest.mark.parametrize("path", [DEPLOY / "Dockerfile", ROOT / "dataflow/Dockerfile"], ids=str)
def test_container_file(path) -> None:
    assert said(of_environment("hadolint"), *HADOLINT, path) == (0, "")


def test_a_mistake_in_a_container_file(tmp_path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((DEPLOY / "Dockerfile").read_text().replace("WORKDIR /build", "WORKDIR build"))
    status, text = said(of_environment("hadolint"), *HADOLINT, wrong)
    assert status == 1
    assert "DL3000" in text


def test_compose() -> None:
    assert against_schema("compose-spec", COMPOSE)[0] == 0, against_schema("compose-spec", COMPOSE)


def test_a_mistake_in_compose(tmp_path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_graceperiod"))
    status, text = against_schema("compose-spec", wrong)
    assert status == 1
    assert "stop_graceperiod" in text


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("path", [path for path in (*KUBERNETES, *FLINK) if path.name != "cluster.yaml"], ids=str)
def test_kubernetes(path, version) -> None:
    for found in documents([path]):
        kubernetes_validate.validate(found, version, strict=True)


def test_a_mistake_in_a_manifest() -> None:
    [deployment, _] = documents([DEPLOY / "kubernetes/job.yaml"])
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(deployment, "1.30", strict=True)


def test_flink_operator() -> None:
    [cluster] = documents([DEPLOY / "flink/cluster.yaml"])
    assert refusals(flink_schema("FlinkDeployment"), cluster) == []
    for part in ("jobManager", "taskManager"):
        pod = {"apiVersion": "v1", "kind": "Pod", **cluster["spec"][part]["podTemplate"]}
        kubernetes_validate.validate(pod, KUBERNETES_VERSIONS[0], strict=True)


def test_a_mistake_for_flink_operator() -> None:
    [cluster] = documents([DEPLOY / "flink/cluster.yaml"])
    cluster["spec"]["flinkVersion"] = "v1_0"
    cluster["spec"]["taskManager"]["replica"] = 2
    assert [text.partition(":")[0] for text in sorted(refusals(flink_schema("FlinkDeployment"), cluster))] == [
        "$.spec.flinkVersion",
        "$.spec.taskManager",
    ]


@pytest.mark.parametrize("path", UNITS, ids=str)
def test_systemd_unit(path, tmp_path) -> None:
    assert analyzed(path.read_text(), path.name, tmp_path) == ""


def test_a_mistake_in_a_unit(tmp_path) -> None:
    wrong = UNITS[0].read_text().replace("Restart=on-failure", "Restart=on-failures\nRestartSecs=3")
    text = analyzed(wrong, UNITS[0].name, tmp_path)
    assert "on-failures" in text
    assert "RestartSecs" in text


def analyzed(text: str, name: str, folder) -> str:
    """What `systemd-analyze verify` finds in a unit; the program's path becomes that of one that is here."""
    program = folder / "clickstream"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (folder / name).write_text(text.replace("/opt/clickstream/bin/clickstream", str(program)))
    return said(*systemd_analyze(), "verify", folder / name)[1]


def test_kustomization_takes_all_of_its_folder() -> None:
    found = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    assert sorted(found["resources"]) == sorted(path.name for path in KUBERNETES)
    assert {each["metadata"].get("namespace", each["metadata"]["name"]) for each in documents(KUBERNETES)} == {
        found["namespace"]
    }
