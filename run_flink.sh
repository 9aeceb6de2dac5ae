#!/usr/bin/env bash
# The live job on Flink: ./run_flink.sh --flink_master=HOST:8081 and the live job's options; --flink_master=[local] starts a Flink for it.
# With --input, or `reprocess` or `verify` in front, these jobs run there.
# ./run_flink.sh worker-pool PORT runs beside each task manager, for --environment_type=EXTERNAL. --help lists the options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements.lock

export POLARS_MAX_THREADS="${POLARS_MAX_THREADS:-1}"
export PATH="$root/.venv/bin:$PATH"  # a pool starts its workers as `python`
if [ "${1:-}" = worker-pool ]; then
  exec "$python" -m apache_beam.runners.worker.worker_pool_main --service_port="${2:-50000}"
fi
exec "$python" -m clickstream.pipeline flink "$@"
