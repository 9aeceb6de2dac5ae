#!/usr/bin/env bash
# The main job on this machine. Without options: makes a sample click log, computes its page metrics, leaves results in out/.
# With --input=PATH_OR_GLOB: the same for your own log. --help lists the options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements.lock

# One thread a process: Beam's workers are the parallelism, and small groups cost half as much.
export POLARS_MAX_THREADS="${POLARS_MAX_THREADS:-1}"
exec "$python" -m clickstream.pipeline "$@"
