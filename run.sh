#!/usr/bin/env bash
# ./run.sh all | <stage> [--config NAME] [--force] [--verify] [key=value ...], and what ./run.sh --help lists
# Makes .venv from requirements.txt when it is missing or out of date, then hands over to src/fakevoice.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$here/.venv/bin/python

find_python() {
  for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' 2>/dev/null; then echo "$name"; return; fi
  done
  echo "fakevoice needs Python 3.11.5 or newer: install it, or name it with PYTHON=/path/to/python ./run.sh" >&2
  exit 1
}

# content FILE: what FILE says, and every file that it includes with -r
content() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    if [[ $line == "-r "* ]]; then content "${line#-r }"; else echo "$line"; fi
  done < "$here/$1"
}

# install FILE: bring .venv to what FILE pins, once; the stamp says for which content that was done
install() {
  local stamp=$here/.venv/.installed-$1 wanted
  wanted=$(content "$1" | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  echo "installing $1 into .venv (once, some minutes and 2 GB, or 6 with CUDA)" >&2
  [ -x "$python" ] || "$(find_python)" -m venv "$here/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$here/$1" >&2
  # the package is importable from notebooks too
  "$python" -c 'import site, sys; open(site.getsitepackages()[0] + "/fakevoice.pth", "w").write(sys.argv[1] + "\n")' "$here/src"
  echo "$wanted" > "$stamp"
}

# extras WORD...: what some commands need beside requirements.txt, unless the words ask for help alone
extras() {
  [[ " $* " == *" --help "* || " $* " == *" -h "* ]] || install requirements-extra.txt
}

# glibc would give the memory of every array back and ask for it anew, for up to a tenth of the time
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_TOP_PAD_=16777216

install requirements.txt
case "${1:-}" in
  test)
    install requirements-dev.txt
    cd "$here"
    exec "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder "${@:2}" ;;
  bench)  # ONNX Runtime, beside which it measures, is an extra
    extras "$@"
    exec "$python" "$here/benchmarks/all.py" "${@:2}" ;;
  notebooks | export)  # so are JupyterLab and what writes ONNX
    extras "$@" ;;
esac
exec "$python" -m fakevoice "$@"
