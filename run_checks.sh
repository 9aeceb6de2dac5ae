#!/usr/bin/env bash
# What is quick to check: ruff's rules, its format, and types. ./run_checks.sh types: only these.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh" requirements-test.lock
cd "$root"

if [ "${1:-}" != types ]; then
  "$python" -m ruff check .
  "$python" -m ruff format --check .
fi
# mypy runs outside the root, where ./io would shadow the standard library's io.
types="$(mktemp -d)"
trap 'rm -rf "$types"' EXIT
ln -s "$root" "$types/clickstream"
cd "$types"
MYPYPATH="$types" "$python" -m mypy --config-file "$root/pyproject.toml"
