"""What a job can't have on Dataflow, whose workers are other machines: told before it is submitted, with the cure."""

import re
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions

from clickstream.io.errors import UserError
from clickstream.io.kafka import load_kafka_config
from clickstream.io.secrets import REFERENCE, check_secret_reference, is_remote_reference
from clickstream.pipeline.options import ClickOptions, KafkaOptions, OutputOptions, RawStoreOptions

SECRETS = (
    *("mysql_password", "elasticsearch_api_key", "elasticsearch_password", "cassandra_password"),
    *("schema_registry_password", "hash_user_ids"),
)
_GROUPS = {"cassandra": RawStoreOptions, "schema": KafkaOptions}
FILES = ("mysql_tls_ca", "elasticsearch_ca", "cassandra_ca", "schema_registry_ca")
_BUCKET = re.compile(r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9](/[^\r\n]*)?")
_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_FILE_SETTING = re.compile(r"\.(location|keytab|file)$|^plugin\.library\.paths$")


def check_dataflow(options: PipelineOptions, argv: Sequence[str]) -> None:
    """Refuses what is missing, and what makes no sense on Dataflow. Connects to nothing.

    Raises:
        UserError: The first that is found.
    """
    for problem in (*_places(options), *_runner(argv), *_stores(options), *_secrets(options), *_files(options)):
        raise UserError(problem)


def _places(options: PipelineOptions) -> Iterator[str]:
    cloud, kafka = options.view_as(GoogleCloudOptions), options.view_as(KafkaOptions)
    needed = {
        "project": (cloud.project, "PROJECT_ID"),
        "region": (cloud.region, "europe-west1 or another region"),
        "temp_location": (cloud.temp_location, "gs://BUCKET/FOLDER"),
        "bootstrap_servers": (kafka.bootstrap_servers, "HOST:PORT"),
        "topic": (kafka.topic, "NAME"),
    }
    for name, (value, form) in needed.items():
        if not value:
            yield f"--{name} is missing: give --{name}={form}."
    for name in ("temp_location", "staging_location"):
        value = getattr(cloud, name)
        if value and not _BUCKET.fullmatch(value):
            yield f"--{name}={value} is no place in a bucket: write gs://BUCKET/FOLDER."
    if not _JOB_NAME.fullmatch(cloud.job_name):
        yield f"--job_name={cloud.job_name} can't name a job: use a-z, 0-9 and -, a letter first, no - at the end, at most 63."


def _runner(argv: Sequence[str]) -> Iterator[str]:
    if any(argument.startswith("--runner") and argument != "--runner=DataflowRunner" for argument in argv):
        yield "--runner isn't for Dataflow: leave it out here, or use run_local.sh."


def _stores(options: PipelineOptions) -> Iterator[str]:
    chosen = options.view_as(OutputOptions)
    if not chosen.mysql and not chosen.elasticsearch:
        yield "Where shall results go? Workers have no folder that stays: name --mysql, --elasticsearch or both."
    if not chosen.mysql and not chosen.dead_letters:
        yield "Where shall dead letters go? Without --mysql give --dead_letters=kafka:TOPIC."
    if (chosen.dead_letters or "").startswith("file:"):
        yield f"--dead_letters={chosen.dead_letters} would be a file of a worker, gone with it: write mysql or kafka:TOPIC."
    if options.view_as(RawStoreOptions).raw_store == "sqlite":
        yield "--raw_store=sqlite would be a file of a worker, gone with it: choose mysql, cassandra or hbase."


def _secrets(options: PipelineOptions) -> Iterator[str]:
    for name, reference in references(options).items():
        if not is_remote_reference(check_secret_reference(reference)):
            yield (
                f"{name}={reference} is of this machine, and workers have neither its variables nor its files: "
                "put the secret into Secret Manager and write secret:projects/P/secrets/S/versions/V."
            )


def references(options: PipelineOptions) -> dict[str, str]:
    """The references to secrets that the options and the Kafka settings hold, by what names them."""
    groups = [options.view_as(group) for group in (ClickOptions, KafkaOptions, OutputOptions, RawStoreOptions)]
    own = {f"--{name}": getattr(group, name, None) for name in SECRETS for group in groups if hasattr(group, name)}
    settings = {f"Kafka setting {n}": v for n, v in _kafka_settings(options).items() if REFERENCE.fullmatch(v)}
    return {name: value for name, value in (own | settings).items() if value}


def _kafka_settings(options: PipelineOptions) -> dict[str, str]:
    path = options.view_as(KafkaOptions).kafka_config
    return {name: str(value) for name, value in load_kafka_config(path).items()} if path else {}


def _files(options: PipelineOptions) -> Iterator[str]:
    """Files are on workers only if they are in their image."""
    if options.view_as(WorkerOptions).sdk_container_image:
        return
    for name in FILES:
        group = _GROUPS.get(name.partition("_")[0], OutputOptions)
        value = getattr(options.view_as(group), name)
        if value:
            yield f"--{name}={value} is a file that workers haven't: put it into an image of theirs, and name that by --sdk_container_image."
    for name, value in _kafka_settings(options).items():
        if _FILE_SETTING.search(name):
            cure = "put it into an image of theirs (--sdk_container_image), or write the .pem setting, such as ssl.ca.pem=secret:…"
            yield f"Kafka setting {name}={value} is a file that workers haven't: {cure}."
