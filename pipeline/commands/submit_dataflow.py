"""`submit-dataflow`, which run_dataflow.sh calls: submits the live job to Google Cloud Dataflow, and ends."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions, WorkerOptions
from apache_beam.runners.runner import PipelineResult
from packaging.requirements import Requirement

from clickstream.io.dataflow import check_google_cloud, check_replaced, explained, quiet_submission
from clickstream.io.errors import UserError
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live import live_job, servers_of
from clickstream.pipeline.options import (
    ClickOptions,
    KafkaOptions,
    LiveOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
    read_options,
)
from clickstream.pipeline.runners import check_dataflow
from clickstream.pipeline.settings import Settings

# Whatever the command line says stands: it comes behind these.
DEFAULTS = (
    "--runner=DataflowRunner",
    "--streaming",
    "--job_name=clickstream-beam",
    "--kafka_splits=per_partition",
    "--shards=16",
)
OPTIONS = (KafkaOptions, ClickOptions, MetricOptions, OutputOptions, RawStoreOptions, LiveOptions)
BEHIND_HELP = """Beam's options for Dataflow: --project, --region, --temp_location=gs://… (all three needed), --job_name, --update,
--sdk_container_image, --service_account_email, --subnetwork, --max_num_workers …
"""
_ROOT = Path(__file__).resolve().parents[2]
_DISTRIBUTION = "clickstream-beam"


def main(argv: Sequence[str]) -> int:
    """Checks what can be checked from here, and submits the job. Returns the exit status.

    Raises:
        UserError: Something that the user can mend, found before the job is there.
    """
    options = read_options([*DEFAULTS, *argv], "submit-dataflow")
    check_dataflow(options, argv)
    quiet_submission()
    check_google_cloud(options)
    if options.view_as(GoogleCloudOptions).update:
        check_replaced(options)
    settings = Settings.from_options(options, live=True)
    sinks, raw_store = servers_of(options, settings)
    with _packaged(options):
        pipeline = _checked_pipeline(options)
        wire(pipeline, live_job(options, settings, sinks, raw_store))
        with explained(f"--job_name={options.view_as(GoogleCloudOptions).job_name}"):
            _tell(pipeline.run(), options.view_as(GoogleCloudOptions))
    return 0


@contextmanager
def _packaged(options: PipelineOptions) -> Iterator[None]:
    """Names what workers install, unless it is in their image: this project, and the driver of a raw store that not everybody has."""
    setup, raw_store = options.view_as(SetupOptions), options.view_as(RawStoreOptions).raw_store
    if options.view_as(WorkerOptions).sdk_container_image:
        yield
        return
    setup.setup_file = setup.setup_file or str(_ROOT / "setup.py")
    if not Path(setup.setup_file).is_file():
        message = f"--setup_file={setup.setup_file} isn't there: submit from a checkout, or name an image with this project by --sdk_container_image."
        raise UserError(message)
    with TemporaryDirectory(prefix="clickstream-") as folder:
        drivers = extra_requirements(raw_store)
        if drivers and not setup.requirements_file:
            path = Path(folder, "requirements.txt")
            path.write_text("".join(f"{driver}\n" for driver in drivers), encoding="utf-8")
            # Workers fetch it as they do what the project itself requires.
            setup.requirements_file, setup.requirements_cache = str(path), "skip"
        yield


def extra_requirements(extra: str) -> list[str]:
    """What setup.py lists as an extra of this project."""
    listed = [Requirement(line) for line in requires(_DISTRIBUTION) or []]
    return [f"{r.name}{r.specifier}" for r in listed if r.marker and r.marker.evaluate({"extra": extra})]


def _checked_pipeline(options: PipelineOptions) -> beam.Pipeline:
    try:
        return beam.Pipeline(options=options)
    except ValueError as error:  # Beam's own checks of its options, a line each
        message = " ".join(str(error).splitlines()[1:]) or str(error)
        raise UserError(message) from None


def _tell(result: PipelineResult, cloud: GoogleCloudOptions) -> None:
    if cloud.template_location:  # a Flex Template's launcher submits what is written there
        sys.stdout.write(f"Written: {cloud.template_location}\n")
        return
    job_id = result.job_id()
    sys.stdout.write(
        f"{'Replaced' if cloud.update else 'Submitted'}: {cloud.job_name}, job {job_id}\n"
        f"Look:  https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}?project={cloud.project}\n"
        f"Stop:  gcloud dataflow jobs cancel {job_id} --region={cloud.region} --project={cloud.project}   (never drain)\n"
    )
