#!/usr/bin/env bash
# The main job on this machine. Without options: makes a sample click log, computes its page metrics, leaves results in out/.
# With --input=PATH_OR_GLOB: the same for your own log. --help lists the options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements.lock

export CLICKSTREAM_COMMAND="${CLICKSTREAM_COMMAND:-./run_local.sh}"  # what the summary advises to run next
exec "$python" -m clickstream.pipeline "$@"
