"""A submission to Dataflow that a stand-in has got, and the environment of a worker that installs what was staged."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apache_beam.internal.gcp import auth
from apache_beam.portability.api import beam_runner_api_pb2 as api
from google_cloud import BUCKET, PROJECT, REGION, GoogleCloud, environment, google_cloud

from clickstream.pipeline.__main__ import main

PLACES = (f"--project={PROJECT}", f"--region={REGION}", f"--temp_location=gs://{BUCKET}/jobs")
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


@contextmanager
def in_cloud(folder: Path) -> Iterator[GoogleCloud]:
    """The stand-in, which this process and those that it starts take for Google Cloud; `folder` is for its account."""
    with google_cloud() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(found, folder).items():
            patch.setenv(name, value)
        patch.setattr(auth._Credentials, "_credentials_init", False)  # Beam keeps those of the process's first use
        yield found
    auth._Credentials._credentials_init = False


def endpoint(cloud: GoogleCloud) -> str:
    """The option that names the stand-in; Beam takes a port for localhost only."""
    return f"--dataflow_endpoint={cloud.address.replace('127.0.0.1', 'localhost')}"


def submit(cloud: GoogleCloud, *argv: str) -> int:
    """Submits the job, with further options; returns the exit status."""
    return main(["submit-dataflow", *JOB, endpoint(cloud), *argv])


class Sent:
    """The last submission, as the service got it."""

    def __init__(self, cloud: GoogleCloud) -> None:
        self.job = cloud.created[-1]
        self.options = self.job["environment"]["sdkPipelineOptions"]["options"]
        folder = self.options["staging_location"].removeprefix(f"gs://{BUCKET}/") + "/"
        self.staged = {
            name[len(folder) :]: content for name, content in cloud.objects.items() if name.startswith(folder)
        }
        self.pipeline = api.Pipeline.FromString(self.staged["pipeline.pb"])
        self.components = self.pipeline.components


def worker_python(folder: Path, package: bytes) -> Path:
    """The Python of a fresh environment in which, of this project, only the staged package is installed, as on a worker.

    The libraries are those of the tests. A folder that a path file names isn't searched for path files, so the checkout isn't there.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env/bin/python"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (folder / f"env/lib/{version}/site-packages/libraries.pth").write_text(f"{libraries}\n")
    (folder / "workflow.tar.gz").write_bytes(package)
    pip = (sys.executable, "-m", "pip", f"--python={python}", "install", "-q", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([*pip, *offline, str(folder / "workflow.tar.gz")], check=True)
    return python


def worker_variables() -> dict[str, str]:
    """Variables of a worker's process: no paths of this one's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
