#!/usr/bin/env bash
# All tests, on real servers that it installs (cached) and starts itself. Arguments go to pytest: ./run_tests.sh tests/transforms -k urls
set -euo pipefail
export UV_COMPILE_BYTECODE=1  # the tests start some hundred processes; without it each spends seconds on Beam's sources
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements-test.lock
cd "$root"
export POLARS_MAX_THREADS="${POLARS_MAX_THREADS:-1}"

if [ $# -eq 0 ]; then
  ./run_checks.sh
  # The live tests, which come first, mostly wait: two groups of them, and the others meanwhile.
  set -- -n 3 --dist=loadgroup --no-loadscope-reorder --durations=15 --durations-min=20
fi
"$python" -m pytest "$@"
