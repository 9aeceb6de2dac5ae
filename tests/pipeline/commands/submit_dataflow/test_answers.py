"""What a submission says: names, updates, templates, and mistakes in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google_cloud import BUCKET, REGION
from submission import CANARY, JOB, Sent, endpoint, submit

from clickstream.io.errors import UserError
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.commands import submit_dataflow

pytestmark = pytest.mark.xdist_group("dataflow")

ROOT = Path(__file__).parents[4]


# --- names, updates, templates


def test_an_update_replaces_the_job_of_that_name_in_its_region(cloud) -> None:
    cloud.running += [
        {"id": "2026-11-26_1", "name": "other", "currentState": "JOB_STATE_RUNNING"},
        {"id": "2026-11-26_2", "name": "shop-clicks", "currentState": "JOB_STATE_CANCELLED"},
        {"id": "2026-11-26_3", "name": "shop-clicks", "currentState": "JOB_STATE_RUNNING"},
    ]
    assert submit(cloud, "--update", "--job_name=shop-clicks") == 0
    assert cloud.created[-1]["replaceJobId"] == "2026-11-26_3"
    assert cloud.created[-1]["name"] == "shop-clicks"


def test_an_update_of_nothing_is_refused(cloud, capsys) -> None:
    created = len(cloud.created)
    assert submit(cloud, "--update") == 2
    assert f"no job named clickstream-beam runs in {REGION}: leave --update out" in capsys.readouterr().err
    assert len(cloud.created) == created


def test_a_second_job_of_the_same_name_is_refused(cloud, capsys) -> None:
    cloud.running.append({"id": "1", "name": "clickstream-beam", "currentState": "JOB_STATE_RUNNING"})
    assert submit(cloud) == 2
    said = capsys.readouterr().err
    assert "a job of this name runs already: replace it with --update" in said
    assert said.count("\n") == 1


def test_it_says_where_to_look_and_how_to_stop(cloud, capsys) -> None:
    assert submit(cloud, "--labels=team=web") == 0
    said = capsys.readouterr().out
    assert said.startswith("Submitted: clickstream-beam, job job-")
    assert f"gcloud dataflow jobs cancel job-{len(cloud.created)} --region={REGION}" in said
    assert cloud.created[-1]["labels"] == {"team": "web"}


def test_the_templates_launcher_writes_the_job_instead(cloud) -> None:
    created = len(cloud.created)
    launched = subprocess.run(
        [
            *(sys.executable, ROOT / "dataflow/launch.py", *JOB, endpoint(cloud), "--runner=DataflowRunner"),
            *(f"--template_location=gs://{BUCKET}/launch/job_object", "--sdk_container_image=registry/clickstream:1"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout == f"Written: gs://{BUCKET}/launch/job_object\n"
    written = json.loads(cloud.objects["launch/job_object"])
    pool = written["environment"]["workerPools"][0]
    assert pool["workerHarnessContainerImage"] == "registry/clickstream:1"
    assert "workflow.tar.gz" not in {package["name"] for package in pool["packages"]}
    assert len(cloud.created) == created


def test_a_driver_that_not_everybody_has_is_installed_too(cloud) -> None:
    assert submit(cloud, "--raw_store=cassandra", "--cassandra=c:9042", "--job_name=with-cassandra") == 0
    staged = Sent(cloud).staged
    assert staged["requirements.txt"] == b"cassandra-driver>=3.29.2\n"


def test_kafka_settings_may_lie_in_the_bucket(cloud) -> None:
    cloud.objects["settings"] = b"security.protocol=SSL\n"
    assert submit(cloud, f"--kafka_config=gs://{BUCKET}/settings", "--job_name=with-settings") == 0
    with pytest.raises(UserError, match=r"--kafka_config=gs://shop-staging/none can't be read"):
        submit_dataflow.main([*JOB, endpoint(cloud), f"--kafka_config=gs://{BUCKET}/none"])


# --- refusals


@pytest.mark.parametrize(
    ("without", "argv", "says"),
    [
        ("--project", (), "--project is missing: give --project=PROJECT_ID."),
        ("--region", (), "--region is missing: give --region=europe-west1 or another region."),
        ("--temp_location", (), "--temp_location is missing: give --temp_location=gs://BUCKET/FOLDER."),
        ("--topic", (), "--topic is missing"),
        ("--bootstrap_servers", (), "--bootstrap_servers is missing"),
        ("", ("--temp_location=/tmp",), "--temp_location=/tmp is no place in a bucket: write gs://BUCKET/FOLDER."),
        ("", ("--job_name=Shop_Clicks",), "--job_name=Shop_Clicks can't name a job"),
        ("", ("--windows_second=300",), "Unknown option --windows_second=300"),
        ("", ("--input=x",), "--input isn't for Dataflow"),
        ("", ("--output_dir=out",), "--output_dir isn't for Dataflow"),
        ("", ("--until=now",), "--until isn't for Dataflow"),
        ("", ("--retention=90d",), "--retention isn't for Dataflow: .* reprocess --every"),
        ("", ("--max_restarts=3",), "--max_restarts isn't for Dataflow"),
        ("", ("--runner=PrismRunner",), "--runner isn't for Dataflow"),
        ("", ("--raw_store=sqlite",), "--raw_store=sqlite would be a file of a worker"),
        ("", ("--dead_letters=file:x.db",), "--dead_letters=file:x.db would be a file of a worker"),
        ("--mysql", ("--raw_store=none",), "Where shall dead letters go"),
        (
            "",
            ("--mysql_password=env:MYSQL_PASSWORD",),
            r"--mysql_password=env:MYSQL_PASSWORD is of this machine.*secret:",
        ),
        ("", ("--elasticsearch_api_key=file:/key",), "--elasticsearch_api_key=file:/key is of this machine"),
        ("", ("--hash_user_ids=env:KEY",), "--hash_user_ids=env:KEY is of this machine"),
        ("", (f"--mysql_password={CANARY}",), "A secret is given by reference: write env:NAME"),
        ("", ("--mysql_tls_ca=ca.pem",), "--mysql_tls_ca=ca.pem is a file that workers haven't.*--sdk_container_image"),
        ("", ("--setup_file=/nowhere/setup.py",), "--setup_file=/nowhere/setup.py isn't there"),
        ("", ("--temp_location=gs://elsewhere/tmp",), "--temp_location=gs://elsewhere/tmp: Google Cloud says"),
    ],
)
def test_a_mistake_is_one_line(cloud, capsys, without, argv, says) -> None:
    created = len(cloud.created)
    given = [argument for argument in JOB if not without or not argument.startswith(f"{without}=")]
    with pytest.raises(UserError, match=says) as raised:
        submit_dataflow.main([*given, endpoint(cloud), *argv])
    assert "\n" not in str(raised.value)
    assert CANARY not in str(raised.value)
    assert len(cloud.created) == created


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("sasl.password=env:PW", r"Kafka setting sasl.password=env:PW is of this machine"),
        ("ssl.ca.location=/etc/ca.pem", r"Kafka setting ssl.ca.location=/etc/ca.pem is a file that workers haven't"),
    ],
)
def test_kafka_settings_of_this_machine_are_refused(tmp_path, setting, says) -> None:
    (tmp_path / "settings").write_text(setting)
    with pytest.raises(UserError, match=says):
        submit_dataflow.main([*JOB, f"--kafka_config={tmp_path / 'settings'}"])


def test_a_bucket_that_may_not_be_written_is_told(cloud, monkeypatch) -> None:
    monkeypatch.setattr(cloud, "permissions", ["storage.objects.get"])
    with pytest.raises(UserError, match=r"may not be written: this account lacks storage\.objects\.create"):
        submit_dataflow.main([*JOB, endpoint(cloud)])


def test_no_credentials_are_told(cloud, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(UserError, match="There are no Google Cloud credentials: gcloud auth application-default login"):
        submit_dataflow.main([*JOB, endpoint(cloud)])


def test_help_lists_the_options_that_it_takes(capsys) -> None:
    assert main(["submit-dataflow", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("--project", "--temp_location", "--mysql_password", "--check_servers"))
    assert "--input" not in said
