"""The request that would be sent to Dataflow, and the graph in it, captured by a stand-in on loopback: nothing here reaches Google."""

import json
import sys
from hashlib import sha256

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.pipeline_context import PipelineContext
from google_cloud import BUCKET
from submission import JOB, submit

from clickstream.io.errors import UserError
from clickstream.pipeline.commands import submit_dataflow

pytestmark = pytest.mark.xdist_group("dataflow")


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
