#!/usr/bin/env bash
# Writes requirements.lock (what a run needs, whatever it stores into) and requirements-test.lock (tests, benchmarks and the docs too) from setup.py,
# for every Python that setup.py allows. Needs uv: pip install uv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
compile() { uv pip compile -q --extra cassandra --extra hbase --extra page --universal --python-version 3.10 --no-header --no-annotate --no-emit-index-url "$@"; }
compile setup.py -o requirements.lock
compile setup.py --extra test --extra docs --extra yaml -c requirements.lock -o requirements-test.lock
