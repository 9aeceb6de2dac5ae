"""The file form through real pipelines; options, secrets and patience without a server."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import elasticsearch
import pyarrow as pa
import pytest
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.display import DisplayData
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from bulk_bodies import bulk_body
from rows import metric, table_of

from clickstream.io.elasticsearch.actions import action_batches
from clickstream.io.elasticsearch.bulk_file import WriteBulkFile
from clickstream.io.elasticsearch.bundle import BulkSender, patience_of
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import setup_elasticsearch
from clickstream.io.elasticsearch.write import WriteToElasticsearch
from clickstream.io.errors import UserError
from clickstream.io.secrets import SecretError
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

CANARY = "CANARY4f1d"


def table(first, count, window=0):
    return table_of([metric(window, number) for number in range(first, first + count)])


def lines(body):
    found = body.split(b"\n")[:-1]
    return sorted(zip(found[::2], found[1::2], strict=True))


def write_file(path, tables, **options):
    with Pipeline(options=PipelineOptions(**options)) as pipeline:
        stamp = beam.MapTuple(lambda number, found: TimestampedValue(found, 300 * number)).with_output_types(pa.Table)
        windowed = pipeline | beam.Create(list(enumerate(tables))) | stamp | beam.WindowInto(FixedWindows(300))
        assert_that(windowed | WriteBulkFile(str(path), "i"), equal_to([str(path)]))


TWO_WORKERS = {"direct_num_workers": 2, "direct_running_mode": "multi_processing"}


@pytest.mark.parametrize("options", [{}, TWO_WORKERS], ids=["one process", "two processes"])
def test_the_file_holds_the_exact_bulk_body_of_all_windows_and_nothing_else_is_left(tmp_path, options):
    path = tmp_path / "elasticsearch.ndjson"
    tables = [table(100 * n, 100, n) for n in range(20)]
    write_file(path, tables, **options)
    assert lines(path.read_bytes()) == lines(bulk_body(pa.concat_tables(tables), "i"))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_no_rows_give_an_empty_file(tmp_path):
    write_file(tmp_path / "out.ndjson", [PAGE_METRICS_SCHEMA.empty_table()])
    assert (tmp_path / "out.ndjson").read_bytes() == b""


def test_the_next_run_replaces_the_file_and_clears_what_a_dead_run_left(tmp_path):
    path = tmp_path / "out.ndjson"
    left = tmp_path / ".out.ndjson.0123.pieces"
    left.mkdir()
    (left / "piece").write_bytes(b"half a line")
    write_file(path, [table(0, 3)])
    write_file(path, [table(5, 2)])
    assert lines(path.read_bytes()) == lines(bulk_body(table(5, 2), "i"))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_run_that_fails_leaves_the_earlier_file_as_it_was(tmp_path):
    path = tmp_path / "out.ndjson"
    write_file(path, [table(0, 3)])
    before = path.read_bytes()
    broken = table(0, 3).drop_columns(["url"])
    with pytest.raises(Exception, match="url"):
        write_file(path, [table(5, 2), broken])
    assert path.read_bytes() == before


@pytest.mark.parametrize("index", ["", "Clicks", "a/b", "-x", "_x", "a*", "a,b", "x" * 256, 'a"b', "a\n"])
def test_an_index_name_that_needs_quoting_is_refused(index):
    with pytest.raises(ElasticsearchError, match="index name"):
        WriteToElasticsearch(ElasticsearchConnection(), index=index)
    with pytest.raises(ElasticsearchError, match="index name"):
        WriteBulkFile("out", index)


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"hosts": "localhost:9200"}, "http://NAME:PORT"),
        ({"hosts": f"http://user:{CANARY}@localhost:9200"}, "options of their own"),
        ({"hosts": "http://localhost"}, "with the port"),
        ({"hosts": "http://a:9200,ftp://b:9200"}, "http://NAME:PORT"),
        ({"hosts": "http://localhost:abc"}, "http://NAME:PORT"),
        ({"api_key": CANARY}, "env:NAME"),
        ({"user": "app", "password": CANARY}, "env:NAME"),
        ({"user": "app"}, "a user and a password"),
        ({"api_key": "env:A", "user": "app", "password": "env:B"}, "either"),
        ({"ca_certs": "ca.pem"}, "https"),
        ({"request_timeout": 0}, "seconds"),
    ],
)
def test_a_wrong_connection_is_refused_when_the_graph_is_built_and_its_secret_not_repeated(options, cure):
    with pytest.raises(UserError, match=cure) as caught:
        ElasticsearchConnection(**options)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"max_actions": 0}, {"retry_seconds": -1}])
def test_limits_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="at least"):
        WriteToElasticsearch(ElasticsearchConnection(), **options)


def test_a_secret_that_is_not_there_or_no_key_is_an_error_without_the_secret(monkeypatch, tmp_path):
    with pytest.raises(SecretError, match="NOT_SET"):
        ElasticsearchConnection(api_key="env:NOT_SET").connect()
    monkeypatch.setenv("KEY", f"{CANARY}\r\nX-Other: 1")
    with pytest.raises(ElasticsearchError, match="env:KEY") as caught:
        ElasticsearchConnection(api_key="env:KEY").connect()
    assert CANARY not in str(caught.value)
    with pytest.raises(ElasticsearchError, match="ca_certs"):
        ElasticsearchConnection("https://localhost:9200", ca_certs=str(tmp_path / "none.pem")).connect()


def test_no_secret_is_in_the_graph_a_pickled_step_or_the_display_data(monkeypatch):
    monkeypatch.setenv("KEY", CANARY)
    monkeypatch.setenv("PASSWORD", CANARY)
    by_key = ElasticsearchConnection(api_key="env:KEY")
    by_password = ElasticsearchConnection(user="app", password="env:PASSWORD")
    pipeline = beam.Pipeline()
    tables = pipeline | beam.Create([table(0, 1)])
    for number, connection in enumerate((by_key, by_password)):
        connection.connect().close()
        write = WriteToElasticsearch(connection)
        tables | f"Write {number}" >> write
        shown = [str(item) for item in DisplayData.create_from(write).items]
        assert any("processed_clickstream_data" in item for item in shown)
        assert all(CANARY not in text for text in (repr(write), *shown))
    graph = pipeline.to_runner_api().SerializeToString()
    steps = [node.transform.fn for node in all_steps(pipeline) if isinstance(node.transform, beam.ParDo)]
    assert any(type(step).__name__ == "_WriteRows" for step in steps)
    assert CANARY.encode() not in graph
    for step in steps:
        assert CANARY.encode() not in cloudpickle.dumps(step)


def all_steps(pipeline):
    found = []

    class Collect(beam.pipeline.PipelineVisitor):
        def visit_transform(self, node):
            found.append(node)

    pipeline.visit(Collect())
    return found


class Clock:
    """Time that passes only in sleep."""

    def __init__(self):
        self.now, self.pauses = 100.0, []

    def sleep(self, pause):
        self.pauses.append(pause)
        self.now += pause

    def patience(self, seconds, jitter=lambda _, most: most):
        return patience_of(seconds, clock=lambda: self.now, sleep=self.sleep, jitter=jitter)


def test_pauses_double_up_to_a_bound_and_end_with_the_time():
    clock = Clock()
    patience = clock.patience(60)
    for _ in range(7):
        patience.wait("busy")
    with pytest.raises(ElasticsearchError, match=r"^Gave up after 8 failed attempts in 60 s: busy$"):
        patience.wait("busy")
    assert clock.pauses == [0.5, 1, 2, 4, 8, 15, 15]


def test_jitter_is_full():
    clock, asked = Clock(), []
    patience = clock.patience(60, lambda *bounds: asked.append(bounds) or 0)
    for _ in range(3):
        patience.wait("busy")
    assert asked == [(0, 0.5), (0, 1), (0, 2)]


@pytest.fixture
def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found.getsockname()[1]  # bound, not listening: connections are refused


def test_an_unreachable_server_is_one_line_after_exactly_the_attempts_that_fit(free_port):
    client = ElasticsearchConnection(f"http://127.0.0.1:{free_port}").connect()
    clock = Clock()
    actions = next(action_batches(table(0, 1), "i"))
    with pytest.raises(ElasticsearchError, match=r"^Gave up after 4 failed attempts .*refused.*address\.$") as caught:
        BulkSender(client, lambda: clock.patience(4)).send(actions)
    assert clock.pauses == [0.5, 1, 2]
    assert "\n" not in str(caught.value)
    with pytest.raises(ElasticsearchError, match=r"can't be reached \(.*refused\): check that it runs") as caught:
        setup_elasticsearch(client, "i")
    assert "\n" not in str(caught.value)


def test_the_official_client_is_not_hidden_by_the_module_of_its_name():
    assert Path(elasticsearch.__file__).parent.name == "elasticsearch"


FULL = """
import resource, sys
from pathlib import Path
import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from clickstream.io.elasticsearch import WriteBulkFile
from clickstream.io.errors import user_error_in
from rows import metric, table_of

tables = [table_of([metric(0, n + 100 * part) for n in range(100)]) for part in range(30)]
target = Path(sys.argv[1], "elasticsearch.ndjson")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # the system's own refusal to write more
try:
    with beam.Pipeline(FnApiRunner()) as pipeline:
        made = pipeline | beam.Create(tables) | beam.Map(lambda table: table).with_output_types(pa.Table)
        made | WriteBulkFile(str(target))
except Exception as error:
    print(str(user_error_in(error)).partition(" [while running")[0])  # which Beam adds
"""


def test_a_full_disk_is_one_line_and_nothing_is_left_there(tmp_path):
    """A limit on a file's size in place of the disk's."""
    (tmp_path / ".elasticsearch.ndjson.0.pieces").mkdir()  # of a run that died
    (tmp_path / "elasticsearch.ndjson").write_text("an earlier one stands")
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "support")},
        check=False,
    )
    cure = "make room there, or name another folder with --output_dir"
    assert found.stdout == f"The bulk file can't be written to {tmp_path} (File too large): {cure}.\n"
    assert [file.name for file in tmp_path.iterdir()] == ["elasticsearch.ndjson"]
    assert (tmp_path / "elasticsearch.ndjson").read_text() == "an earlier one stands"
