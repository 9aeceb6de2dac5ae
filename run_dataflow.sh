#!/usr/bin/env bash
# Submits the live job to Google Cloud Dataflow: ./run_dataflow.sh --project=… --region=… --temp_location=gs://… and the options of the live job,
# secrets as secret:projects/P/secrets/S/versions/V. --update replaces the running job of the same --job_name. --help lists the options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements.lock

exec "$python" -m clickstream.pipeline submit-dataflow "$@"
