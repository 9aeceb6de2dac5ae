"""Secrets of a job on Dataflow: by reference in all that is sent, and read where they are needed."""

import base64
import bz2
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api
from google_cloud import GoogleCloud
from submission import (
    CANARY,
    JOB,
    SECRET,
    VERSION,
    Sent,
)

from clickstream.io import secrets
from clickstream.io.errors import UserError
from clickstream.io.secret_manager import read_secret_version
from clickstream.pipeline.commands import submit_dataflow
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live.job import live_job
from clickstream.pipeline.options import read_options
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import sinks_of

pytestmark = pytest.mark.xdist_group("dataflow")


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
