"""What would be sent to Dataflow, captured by a stand-in on loopback: nothing here reaches Google."""

import base64
import bz2
import io
import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.pipeline_context import PipelineContext
from google_cloud import BUCKET, PROJECT, REGION, GoogleCloud
from submission import PLACES, Sent, endpoint, in_cloud, worker_python, worker_variables

from clickstream.io import secrets
from clickstream.io.errors import UserError
from clickstream.io.secret_manager import read_secret_version
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.commands import submit_dataflow
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live.job import live_job
from clickstream.pipeline.options import read_options
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import sinks_of

pytestmark = pytest.mark.xdist_group("dataflow")

ROOT = Path(__file__).parents[3]
CANARY = "CANARY-77f1-never-sent-anywhere"
VERSION = f"projects/{PROJECT}/secrets/{{}}/versions/1"
SECRET = f"secret:{VERSION}"
JOB = (
    *PLACES,
    "--bootstrap_servers=kafka:9092",
    "--topic=clicks",
    "--mysql=mysql://app@db:3306/shop",
    f"--mysql_password={SECRET.format('mysql')}",
    "--elasticsearch=https://search:9200",
    f"--elasticsearch_api_key={SECRET.format('elasticsearch')}",
    f"--hash_user_ids={SECRET.format('users')}",
    "--rollups=1h,1d",
    "--raw_store=mysql",
    "--check_servers=off",
)


@pytest.fixture(autouse=True)
def _no_jobs(cloud) -> None:
    cloud.running.clear()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleCloud]:
    folder = tmp_path_factory.mktemp("account")
    (folder / "secret").write_text(CANARY)
    with in_cloud(folder) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSQL_PASSWORD", CANARY)
        patch.setenv("CLICKSTREAM_SECRET_FILE", str(folder / "secret"))
        found.secrets = dict.fromkeys(map(VERSION.format, ("mysql", "elasticsearch", "users")), CANARY.encode())
        yield found


def submit(cloud: GoogleCloud, *argv: str) -> int:
    return main(["submit-dataflow", *JOB, endpoint(cloud), *argv])


@pytest.fixture(scope="module")
def sent(cloud, tmp_path_factory) -> Sent:
    settings = tmp_path_factory.mktemp("kafka") / "settings"
    settings.write_text(f"security.protocol=SASL_SSL\nsasl.password={SECRET.format('kafka')}\n")
    cloud.running.clear()
    assert submit(cloud, f"--kafka_config={settings}") == 0
    return Sent(cloud)


# --- the request


def test_the_job_is_a_streaming_one_of_that_name(sent) -> None:
    assert sent.job["name"] == "clickstream-beam"
    assert sent.job["type"] == 2  # JOB_TYPE_STREAMING
    assert "replaceJobId" not in sent.job
    assert sent.job["environment"]["version"]["job_type"] == "FNAPI_STREAMING"


def test_it_runs_on_streaming_engine(sent) -> None:
    experiments = set(sent.job["environment"]["experiments"])
    assert {"enable_streaming_engine", "enable_windmill_service", "use_runner_v2"} <= experiments
    assert (sent.options["streaming"], sent.options["runner"]) == (True, "DataflowRunner")


def test_all_is_staged_in_the_bucket_and_named_in_the_request(sent) -> None:
    pool = sent.job["environment"]["workerPools"][0]
    packages = {package["name"]: package["location"] for package in pool["packages"]}
    assert set(packages) == set(sent.staged) - {"pipeline.pb"}
    assert "workflow.tar.gz" in packages
    prefix = f"storage.googleapis.com/{BUCKET}/jobs/clickstream-beam."
    assert all(place.startswith(prefix) for place in packages.values())
    assert sent.options["pipelineUrl"] == f"{sent.options['staging_location']}/pipeline.pb"
    assert sent.options["pipelineProtoHash"] == sha256(sent.staged["pipeline.pb"]).hexdigest()


def test_workers_run_beams_own_image_and_this_package(sent) -> None:
    (found,) = sent.components.environments.values()
    image = api.DockerPayload.FromString(found.payload).container_image
    assert image.endswith(f"/beam_python{sys.version_info[0]}.{sys.version_info[1]}_sdk:{beam.__version__}")
    assert image == sent.job["environment"]["workerPools"][0]["workerHarnessContainerImage"]
    urls = [api.ArtifactUrlPayload.FromString(artifact.type_payload) for artifact in found.dependencies]
    hashes = {url.url.rpartition("/")[2]: url.sha256 for url in urls}
    assert hashes["workflow.tar.gz"] == sha256(sent.staged["workflow.tar.gz"]).hexdigest()
    assert sent.options["save_main_session"] is False


def test_what_is_sent_is_small(sent) -> None:
    """Dataflow takes requests of up to 10 MB."""
    assert len(json.dumps(sent.job)) < 100_000
    assert len(sent.staged["pipeline.pb"]) < 1_000_000


def test_to_an_endpoint_that_is_not_this_machine_goes_the_same_but_for_the_machines(cloud, sent, monkeypatch) -> None:
    """Beam takes `localhost` for a service of its developers: it doesn't look at its options, and asks for local workers."""
    monkeypatch.setattr(PipelineOptionsValidator, "validate_endpoint_url", lambda *_: True)  # it takes no port
    assert submit(cloud, f"--dataflow_endpoint={cloud.address}/sandbox", "--job_name=elsewhere") == 0
    here, there = sent.job["environment"], cloud.created[-1]["environment"]
    assert here["experiments"] == there["experiments"]
    (ours,), (theirs,) = here["workerPools"], there["workerPools"]
    assert (ours["kind"], ours["dataDisks"]) == ("local", [{"diskType": "local"}])
    assert (theirs["kind"], theirs["dataDisks"]) == ("harness", [{}])
    assert set(ours) == set(theirs)
    assert ours["sdkHarnessContainerImages"] == theirs["sdkHarnessContainerImages"]
    with pytest.raises(UserError, match=r"Invalid Project ID \(Shop\)"):
        submit_dataflow.main([*JOB, f"--dataflow_endpoint={cloud.address}/sandbox", "--project=Shop"])


# --- the graph


def test_the_steps_are_those_of_the_live_job(sent) -> None:
    transforms = sent.components.transforms
    (root,) = (transforms[name] for name in sent.pipeline.root_transform_ids)
    steps = [transforms[name].unique_name for name in root.subtransforms]
    assert steps == [
        "ReadClicks",
        "ParseClicks",
        "Keep_clicks",
        "Keep_too_late",
        "MeasureTime",
        "CutByWindow",
        *(
            f"{step}{rollup}"
            for rollup in ("", "1h", "1d")
            for step in ("SumByPage", "WriteToMySql", "WriteToElasticsearch")
        ),
        *(f"{sink}{rollup}Refused" for rollup in ("", "1h", "1d") for sink in ("WriteToMySql", "WriteToElasticsearch")),
        "clicksRefused",
        "too_lateRefused",
        "Rejected",
        "WriteDeadLetters",
        "CommitOffsets",
    ]


def test_partitions_are_read_apart_and_windows_are_shared_out(sent) -> None:
    assert (sent.options["kafka_splits"], sent.options["shards"]) == ("per_partition", 16)


def test_what_is_grouped_and_what_holds_state_has_deterministic_keys(sent) -> None:
    context = PipelineContext(sent.components)
    keyed = [
        transform
        for transform in sent.components.transforms.values()
        if transform.spec.urn == "beam:transform:group_by_key:v1" or _holds_state(transform)
    ]
    assert sum(map(_holds_state, keyed)) >= 2
    assert len(keyed) >= 6
    for transform in keyed:
        main_input = sent.components.pcollections[next(iter(transform.inputs.values()))]
        assert context.coders.get_by_id(main_input.coder_id).key_coder().is_deterministic(), transform.unique_name


def _holds_state(transform: api.PTransform) -> bool:
    if transform.spec.urn != "beam:transform:pardo:v1":
        return False
    payload = api.ParDoPayload.FromString(transform.spec.payload)
    return bool(payload.state_specs or payload.timer_family_specs)


def test_the_runner_is_asked_for_no_more_than_state_timers_and_splittable_dofns(sent) -> None:
    assert set(sent.pipeline.requirements) == {
        "beam:requirement:pardo:stateful:v1",
        "beam:requirement:pardo:splittable_dofn:v1",
    }


def test_tables_and_sums_travel_by_coders_of_their_own(sent) -> None:
    """Pickled elements, beside Kafka's batches, which are parsed where they are read, are few and small."""
    context = PipelineContext(sent.components)
    pickled = {
        found.unique_name
        for found in sent.components.pcollections.values()
        if "FastPrimitives" in repr(context.coders.get_by_id(found.coder_id))
    }
    heads = {name.partition("/")[0].lstrip("0123456789") for name in pickled}
    assert heads <= {"ReadClicks", "ParseClicks", "CommitOffsets"}


# --- the package


@pytest.fixture(scope="module")
def worker(sent, tmp_path_factory) -> Path:
    return worker_python(tmp_path_factory.mktemp("worker"), sent.staged["workflow.tar.gz"])


def ask(worker: Path, script: str, given: bytes = b"") -> str:
    found = subprocess.run(
        [worker, "-c", script], input=given, capture_output=True, check=False, env=worker_variables(), cwd="/"
    )
    assert found.returncode == 0, found.stderr.decode()
    return found.stdout.decode()


def test_the_package_is_whole(worker) -> None:
    """All that is beside the code: statements, dashboards, the page's and the report's style."""
    said = ask(
        worker,
        "import clickstream.pipeline.commands.submit_dataflow, clickstream.page.report.write, clickstream.sql\n"
        "from importlib.resources import files\n"
        "print(clickstream.sql.__file__)\n"
        "for folder in ('dashboards', 'page', 'page/static', 'sql'):\n"
        "    for found in files('clickstream').joinpath(folder).iterdir():\n"
        "        if found.is_file() and found.suffix != '.py':\n"
        "            print(f'{folder}/{found.name}')\n",
    )
    place, *data = said.splitlines()
    assert place.startswith(str(worker.parents[1]))
    folders = ("dashboards", "page", "page/static", "sql")
    here = [p for folder in folders for p in (ROOT / folder).iterdir() if p.is_file() and p.suffix != ".py"]
    assert sorted(data) == sorted(str(p.relative_to(ROOT)) for p in here)


_UNPICKLE = """
import pickle, sys
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.runners.worker import bundle_processor
pickler.set_library("cloudpickle")
pipeline = api.Pipeline.FromString(sys.stdin.buffer.read())
assert not [name for name in sys.modules if name.startswith("clickstream")]
context = PipelineContext(pipeline.components)
steps = 0
for transform in pipeline.components.transforms.values():
    if transform.spec.urn == "beam:transform:pardo:v1":
        payload = api.ParDoPayload.FromString(transform.spec.payload)
        fn = pickler.loads(payload.do_fn.payload)
        steps += 1
for name in pipeline.components.coders:
    context.coders.get_by_id(name)
for name in pipeline.components.windowing_strategies:
    context.windowing_strategies.get_by_id(name)
from apache_beam.coders import registry
pa = sys.modules["pyarrow"]
print(steps, type(registry.get_coder(pa.Table)).__name__, "clickstream.pipeline.__main__" in sys.modules)
"""


def test_every_step_and_coder_is_loaded_by_a_worker_that_has_only_the_package(worker, sent) -> None:
    steps, coder, has_main = ask(worker, _UNPICKLE, sent.staged["pipeline.pb"]).split()
    assert int(steps) > 30
    assert (coder, has_main) == ("ArrowTableCoder", "False")


# --- secrets


def opened(payload: bytes) -> Iterator[bytes]:
    """Some bytes, and what is packed in them: Beam's pickles are zlib or bz2 in base64, packages tar in gzip."""
    yield payload
    yield from _unzipped(payload)
    if payload[:2] == b"\x1f\x8b":
        with tarfile.open(fileobj=io.BytesIO(payload)) as archive:
            yield from (archive.extractfile(member).read() for member in archive if member.isfile())


def _unzipped(payload: bytes) -> Iterator[bytes]:
    try:
        packed = base64.b64decode(payload.rpartition(b"$")[2], validate=True)
    except ValueError:
        return
    for unpack in (zlib.decompress, bz2.decompress):
        with suppress(zlib.error, OSError):
            yield unpack(packed)


def everything(cloud: GoogleCloud, sent: Sent) -> Iterator[bytes]:
    yield json.dumps(cloud.created).encode()
    yield "\n".join(cloud.requests).encode()
    for content in cloud.objects.values():
        yield from opened(content)
    yield from graph_payloads(sent.pipeline)


def graph_payloads(pipeline: api.Pipeline) -> Iterator[bytes]:
    for transform in pipeline.components.transforms.values():
        yield from opened(transform.spec.payload)
        if transform.spec.urn == "beam:transform:pardo:v1":
            pickled = [*opened(api.ParDoPayload.FromString(transform.spec.payload).do_fn.payload)]
            assert len(pickled) == 2, transform.unique_name
            yield from pickled
    for coder in pipeline.components.coders.values():
        yield from opened(coder.spec.payload)


def test_no_secret_is_in_anything_that_was_sent(cloud, sent) -> None:
    found = list(everything(cloud, sent))
    assert any(b"resolve_secret" in content for content in found)  # pickles were opened
    assert sum(SECRET.format("mysql").encode() in content for content in found) > 3
    assert not [content for content in found if CANARY.encode() in content]
    for name in ("mysql_password", "elasticsearch_api_key", "hash_user_ids"):
        assert sent.options[name].startswith("secret:projects/")


@pytest.fixture
def reached(cloud, monkeypatch) -> GoogleCloud:
    """Secret Manager's own client, told that the stand-in is Secret Manager."""
    from google.api_core.client_options import ClientOptions
    from google.cloud import secretmanager

    client, place = secretmanager.SecretManagerServiceClient, ClientOptions(api_endpoint=cloud.address)
    monkeypatch.setattr(
        secretmanager, "SecretManagerServiceClient", lambda **given: client(client_options=place, **given)
    )
    return cloud


def test_a_secret_is_read_where_it_is_needed_and_stays_out_of_the_graph(reached) -> None:
    """With servers checked the key is tried on the submitting machine: nothing of it may be left in the graph."""
    options = read_options([*submit_dataflow.DEFAULTS, *JOB, "--check_servers=on"])
    reached.requests.clear()
    pipeline = beam.Pipeline(runner="FnApiRunner")
    wire(pipeline, live_job(options, Settings.from_options(options, live=True), sinks_of(options)))
    assert {r.partition("?")[0] for r in reached.requests} == {f"GET /v1/{VERSION.format('users')}:access"}
    sent = pipeline.to_runner_api()
    assert not [content for content in graph_payloads(sent) if CANARY.encode() in content]
    assert secrets.resolve_secret(SECRET.format("mysql")) == CANARY


def test_a_secret_that_cannot_be_read_is_one_line(reached) -> None:
    with pytest.raises(
        UserError, match=r"versions/1 can't be read \(NotFound\): .* role Secret Manager Secret Accessor"
    ):
        read_secret_version(VERSION.format("none"))
    reached.secrets[VERSION.format("binary")] = b"\xff\xfe"
    with pytest.raises(UserError, match="it is no text"):
        read_secret_version(VERSION.format("binary"))


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
