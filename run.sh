#!/usr/bin/env bash
# ./run.sh all | <stage> [--config NAME] [--force] [--verify] [key=value ...] | status | predict | score | test
# Makes .venv from requirements.txt when it is missing or out of date, then hands over to src/fakevoice.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$here/.venv/bin/python

find_python() {
  for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$name"; return; fi
  done
  echo "fakevoice needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python ./run.sh" >&2
  exit 1
}

# install FILE: bring .venv to what FILE pins, once; the stamp says for which content that was done
install() {
  local stamp=$here/.venv/.installed-$1 wanted
  wanted=$(cat "$here/requirements.txt" "$here/$1" | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  echo "installing $1 into .venv (once, some minutes and about 2 GB)" >&2
  [ -x "$python" ] || "$(find_python)" -m venv "$here/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$here/$1" >&2
  # the package is importable from notebooks too
  "$python" -c 'import site, sys; open(site.getsitepackages()[0] + "/fakevoice.pth", "w").write(sys.argv[1] + "\n")' "$here/src"
  echo "$wanted" > "$stamp"
}

install requirements.txt
if [ "${1:-}" = test ]; then
  install requirements-dev.txt
  cd "$here"
  exec "$python" -m pytest "${@:2}"
fi
exec "$python" -m fakevoice "$@"
