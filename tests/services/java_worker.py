"""Starts Beam's Java worker where there is no container for it: what the container's own start program does, in short.

Arguments: the folder of its jars, then what a runner gives a process (`--id=`, `--provision_endpoint=`).
"""

import json
import os
import sys

import grpc
from apache_beam.portability.api import beam_provision_api_pb2 as api
from apache_beam.portability.api import beam_provision_api_pb2_grpc as services
from google.protobuf import json_format

# What the worker looks into, to know the size of what it keeps.
OPEN = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util")]


def main(jars: str, arguments: list[str]) -> None:
    given = dict(argument.lstrip("-").split("=", 1) for argument in arguments)
    name, endpoint = (given[key].strip("'") for key in ("id", "provision_endpoint"))  # Prism quotes the first
    stub = services.ProvisionServiceStub(grpc.insecure_channel(endpoint))
    told = stub.GetProvisionInfo(api.GetProvisionInfoRequest(), metadata=[("worker_id", name)], timeout=30).info
    environment = {
        "HARNESS_ID": name,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(told.pipeline_options)),
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{told.logging_endpoint.url or endpoint}"',
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{told.control_endpoint.url or endpoint}"',
        "RUNNER_CAPABILITIES": " ".join(told.runner_capabilities),
    }
    command = [
        "java",
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        *OPEN,
        "-cp",
        f"{jars}/*",
        "org.apache.beam.fn.harness.FnHarness",
    ]
    os.execvpe("java", command, {**os.environ, **environment})  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
