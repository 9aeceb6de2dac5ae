"""Google Cloud Dataflow: what is asked before a job is submitted, and what is said when that fails."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import google.auth
from apache_beam.internal.gcp.auth import get_service_credentials
from apache_beam.io.gcp.gcsio import create_storage_client
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.dataflow.internal import apiclient
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import AlreadyExists, Conflict, Forbidden, GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import dataflow

from clickstream.io.errors import UserError

_LOGIN = "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS=FILE of a service account"
_WRITES = ["storage.objects.create", "storage.objects.get"]
_LIVE = (dataflow.JobState.JOB_STATE_RUNNING, dataflow.JobState.JOB_STATE_DRAINING)


def check_google_cloud(options: PipelineOptions) -> None:
    """Looks for credentials and at the buckets, so that a mistake is told at once: Beam would try again for minutes.

    Raises:
        UserError: There are no credentials, or a bucket isn't there or may not be written.
    """
    cloud = options.view_as(GoogleCloudOptions)
    try:
        google.auth.default()
    except DefaultCredentialsError:
        message = f"There are no Google Cloud credentials: {_LOGIN}."
        raise UserError(message) from None
    client = create_storage_client(options)
    for name in ("temp_location", "staging_location"):
        location = getattr(cloud, name)
        if location is not None:
            with explained(f"--{name}={location}"):
                _check_bucket(client, location)


def _check_bucket(client: Any, location: str) -> None:
    bucket = client.get_bucket(location.removeprefix("gs://").partition("/")[0])
    missing = set(_WRITES) - set(bucket.test_iam_permissions(_WRITES))
    if missing:
        message = f"{location} may not be written: this account lacks {', '.join(sorted(missing))}."
        raise UserError(message)


def check_replaced(options: PipelineOptions) -> None:
    """Looks for the job that --update replaces: where there is none, Beam 2.77 asks for it for ever.

    Raises:
        UserError: None of that name runs in --region, or Dataflow refuses to say.
    """
    cloud = options.view_as(GoogleCloudOptions)
    credentials = get_service_credentials(options).get_google_auth_credentials()
    place = ClientOptions(api_endpoint=cloud.dataflow_endpoint.rstrip("/"))
    request = dataflow.ListJobsRequest(
        project_id=cloud.project, location=cloud.region, filter=dataflow.ListJobsRequest.Filter.ACTIVE
    )
    with (
        explained(f"--project={cloud.project} --region={cloud.region}"),
        dataflow.JobsV1Beta3Client(credentials=credentials, client_options=place, transport="rest") as client,
    ):
        found = any(job.name == cloud.job_name and job.current_state in _LIVE for job in client.list_jobs(request))
    if not found:
        message = f"--update: no job named {cloud.job_name} runs in {cloud.region}: leave --update out, or check --job_name and --region."
        raise UserError(message)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Errors of Google's libraries become a line: cause and cure.

    Raises:
        UserError: In their place.
    """
    try:
        yield
    except (AlreadyExists, Conflict, apiclient.DataflowJobAlreadyExistsError):
        message = f"{what}: a job of this name runs already: replace it with --update, or choose another --job_name and --group_id."
        raise UserError(message) from None
    except GoogleAuthError as error:
        message = f"{what}: the credentials are of no use ({_line(error)}): {_LOGIN}."
        raise UserError(message) from None
    except (NotFound, Forbidden) as error:
        message = f"{what}: Google Cloud says {_line(error)}: check the name and this account's roles."
        raise UserError(message) from None
    except (GoogleAPICallError, RetryError) as error:
        message = f"{what}: Google Cloud says {_line(error)}."
        raise UserError(message) from None


def _line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(getattr(error, "message", None) or error)).strip().rstrip(".")


def quiet_submission() -> None:
    """Beam tells an error of the service twice at length beside raising it, and each attempt to build the package with a missing module."""
    for name in ("runners.dataflow.internal.apiclient", "internal.gcp.auth", "io.gcp.gcsio"):
        logging.getLogger(f"apache_beam.{name}").setLevel(logging.CRITICAL + 1)
