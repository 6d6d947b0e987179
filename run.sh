#!/bin/sh
# ./run.sh all | <stage> [--config NAME] [--force] [--verify] [key=value ...]; ./run.sh --help lists the commands.
# Brings .venv up to date with requirements.txt, then runs src/fakevoice. ./run.sh install EXTRA... adds optional
# packages, with the versions of constraints.txt.
set -eu

script=$0
while [ -L "$script" ]; do
  link=$(readlink "$script")
  case $link in
    /*) script=$link ;;
    *) script=$(dirname "$script")/$link ;;
  esac
done
here=$(CDPATH='' cd -- "$(dirname "$script")" && pwd -P)
venv=$here/.venv
python=$venv/bin/python

fail() {
  echo "fakevoice: $*" >&2
  exit 1
}

# kind_of PYTHON: "complete", "no ensurepip", or nothing where it is not Python 3.11 or newer
kind_of() {
  "$1" -I -c 'import sys, importlib.util as util
if sys.version_info >= (3, 11): print("complete" if util.find_spec("ensurepip") else "no ensurepip")' 2>/dev/null || true
}

# find_python: sets base to a Python that can make an environment
find_python() {
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
  else
    set -- python3 python3.14 python3.13 python3.12 python3.11 python
  fi
  lacks_ensurepip=
  for base in "$@"; do
    case $(kind_of "$base") in
      complete) return ;;
      "no ensurepip") lacks_ensurepip=${lacks_ensurepip:-$base} ;;
    esac
  done
  [ -z "$lacks_ensurepip" ] ||
    fail "$lacks_ensurepip has no ensurepip: apt-get install python3-venv (Debian, Ubuntu), then run this again"
  [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python 3.11 or newer"
  fail "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python ./run.sh"
}

# is_complete: the last installation was not interrupted, and Python starts and finds pip
is_complete() {
  [ ! -e "$venv/.installing" ] && "$python" -I -c 'import pip' 2>/dev/null
}

# wait_for_others: another ./run.sh may be installing into .venv
wait_for_others() {
  while pid=$(cat "$venv/.installing" 2>/dev/null) && kill -0 "$pid" 2>/dev/null; do
    [ -n "${waiting:-}" ] || echo "waiting for process $pid, which installs into .venv" >&2
    waiting=yes
    sleep 1
  done
}

make_environment() {
  find_python
  [ ! -e "$venv" ] || echo ".venv is incomplete: making it again" >&2
  rm -rf "$venv"
  mkdir "$venv"
  echo $$ > "$venv/.installing"
  output=$("$base" -m venv "$venv" 2>&1) || fail "$base -m venv: $(echo "$output" | tail -n 1)"
  # relative, so that a copied or moved project imports its own package; notebooks do through this file
  site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
  echo ../../../../src > "$site/fakevoice.pth"
  echo "$here" > "$venv/.folder"
}

# adopt: after a copy or a move, write the scripts in .venv/bin again, which name the folder of the environment
adopt() {
  "$python" -m venv --without-pip "$venv"
  "$python" -I "$here/src/fakevoice/cli/environment.py" scripts
  echo "$here" > "$venv/.folder"
}

# install NAME LOCK ARGUMENT...: run pip, if NAME was not installed yet from this content of LOCK
install() {
  stamp=$venv/.installed-$1
  wanted=$(cksum < "$here/$2")
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
  echo "installing $1 into .venv (once, some minutes and 2 GB, or 6 with CUDA)" >&2
  shift 2
  echo $$ > "$venv/.installing"
  sed -n 's/^\([a-z0-9].*==[^\\]*\) \\$/\1/p' "$here/constraints.txt" > "$venv/.versions"  # pip would ask for hashes
  "$python" -m pip install --quiet --disable-pip-version-check --constraint "$venv/.versions" "$@" >&2
  echo "$wanted" > "$stamp"
  rm "$venv/.installing"
}

# install_extras EXTRA...: optional packages, as pyproject.toml lists them
install_extras() {
  for extra in "$@"; do
    packages=$("$python" -I "$here/src/fakevoice/cli/environment.py" extra "$extra")
    # shellcheck disable=SC2086  # one word for each package
    install "$extra" constraints.txt $packages
  done
}

# asks_for_help WORD...: --help is answered without optional packages
asks_for_help() {
  case " $* " in *" --help "* | *" -h "*) return 0 ;; esac
  return 1
}

# glibc would give the memory of every array back and ask for it again, for up to a tenth of the time
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_TOP_PAD_=16777216
export PYTHONPATH="$here/src${PYTHONPATH:+:$PYTHONPATH}"

wait_for_others
is_complete || make_environment
[ "$(cat "$venv/.folder" 2>/dev/null)" = "$here" ] || [ ! -w "$venv/bin" ] || adopt
install fakevoice requirements.txt -r "$here/requirements.txt"

command=${1:-}
case $command in
  install)
    shift
    install_extras "$@"
    exit ;;
  test)
    shift
    install_extras dev
    cd "$here"
    exec "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@" ;;
  bench)  # it compares with ONNX Runtime
    shift
    asks_for_help "$@" || install_extras export
    exec "$python" "$here/benchmarks/all.py" "$@" ;;
  export | notebooks)
    asks_for_help "$@" || install_extras "$command" ;;
esac
exec "$python" -m fakevoice "$@"
