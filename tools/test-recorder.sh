#!/bin/sh
# Tests of the recorder in Python, as far as what is installed reaches: those of torch and transformers are skipped without them. Brings pytest
# where it is missing.
#
#   tools/test-recorder.sh PROGRAM
set -eu

program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
python=${PYTHON:-python3}
if ! "$python" -m pytest --version >/dev/null 2>&1; then
  python=/usr/bin/python3
  if ! "$python" -m pytest --version >/dev/null 2>&1; then
    command -v apt-get >/dev/null || { echo "error: pytest is needed; try: pip install pytest, or PYTHON=a Python that has it" >&2; exit 69; }
    echo "installing: python3-pytest" >&2
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    $root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends python3-pytest" >&2
  fi
fi
cd "$(dirname "$0")/recorder"
MOETOP=$program PYTHONDONTWRITEBYTECODE=1 exec "$python" -m pytest -q -p no:cacheprovider tests
