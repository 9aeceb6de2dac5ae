# Sourced by run_local.sh and run_tests.sh: makes or refreshes .venv from a lock file, and sets $root and $python.
# usage: source setup_venv.sh LOCK_FILE      CLICKSTREAM_PYTHON names the Python to use, 3.10 to 3.13.
# Only a changed lock file or setup.py installs again.

# Google's libraries say in each process that Python 3.10 gets no more updates of theirs.
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore:You are using a non-supported Python version:FutureWarning}"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$root/.venv/bin/python"
lock="$root/$1"

fits() { "$1" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${CLICKSTREAM_PYTHON:-python3 python3.12 python3.11 python3.13 python3.10 python}; do
    if fits "$candidate"; then echo "$candidate"; return; fi
  done
  echo "No Python 3.10 to 3.13 with venv found: install one, or name it: CLICKSTREAM_PYTHON=/path/to/python $0" >&2
  return 2
}

install_locked() {
  # uv takes seconds where pip takes a minute; pip knows mirrors that uv isn't told of.
  "$python" -m pip install --quiet --disable-pip-version-check uv==0.13.9 setuptools==82.0.1 &&
    "$python" -m uv pip install --quiet --python "$python" --no-deps -r "$lock" 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$lock"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable "$root"
}

stamp="$(cat "$lock" "$root/setup.py" | cksum)"
if [ "$(cat "$root/.venv/stamp-$1" 2>/dev/null)" != "$stamp" ] || [ ! -x "$python" ]; then
  echo "Installing into .venv (once; about a minute) ..." >&2
  if ! fits "$python"; then
    base="$(find_python)"
    "$base" -m venv --clear "$root/.venv"
  fi
  install_locked
  echo "$stamp" >"$root/.venv/stamp-$1"
fi
