"""The package that workers would install: whole, and enough for each step."""

import subprocess
from pathlib import Path

import pytest
from submission import worker_python, worker_variables

pytestmark = pytest.mark.xdist_group("dataflow")

ROOT = Path(__file__).parents[4]


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
        "import clickstream.pipeline.commands.submit_dataflow, clickstream.page.report, clickstream.sql\n"
        "from importlib.resources import files\n"
        "print(clickstream.sql.__file__)\n"
        "for folder in ('dashboards', 'page', 'page/report', 'page/static', 'sql'):\n"
        "    for found in files('clickstream').joinpath(folder).iterdir():\n"
        "        if found.is_file() and found.suffix != '.py':\n"
        "            print(f'{folder}/{found.name}')\n",
    )
    place, *data = said.splitlines()
    assert place.startswith(str(worker.parents[1]))
    folders = ("dashboards", "page", "page/report", "page/static", "sql")
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
