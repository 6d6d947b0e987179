#!/bin/sh
# Compiles the versions of pyproject.toml into two locks: requirements.txt, what ./run.sh all needs, and constraints.txt,
# all extras too, with the SHA-256 of each file on PyPI. They work on every Python from 3.11.0 on.
#   python3 -m venv /tmp/uv && /tmp/uv/bin/pip install uv==0.13.9 && PATH=/tmp/uv/bin:$PATH docs/lock.sh
# Locked versions stay where pyproject.toml allows them; docs/lock.sh --upgrade takes the newest.
set -eu
cd "$(dirname "$0")/.."

# compile FILE OPTION...: what follows from pyproject.toml → FILE
compile() {
  file=$1
  shift
  uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --no-header \
    --no-annotate --quiet --output-file "$file" "$@" >&2
}

# first_lines FILE LINE...: put comments in front of FILE
first_lines() {
  file=$1
  shift
  printf '%s\n' "$@" | cat - "$file" > "$file.new"
  mv "$file.new" "$file"
}

compile constraints.txt --all-extras --generate-hashes "$@"
first_lines constraints.txt \
  "# Compiled from pyproject.toml by docs/lock.sh: every package with all extras, with the hashes of its files on PyPI." \
  "# To install only these files:  .venv/bin/python -m pip install --require-hashes -r constraints.txt" \
  "# A PyTorch from elsewhere than PyPI, such as a CPU build, has other hashes and is refused."

compile requirements.txt --constraint constraints.txt "$@"
# a CPU build of PyTorch needs none of these, and a CUDA build requires them by exact versions itself
grep -vE '^(cuda-|nvidia-|triton==)' requirements.txt > requirements.txt.new
mv requirements.txt.new requirements.txt
first_lines requirements.txt \
  "# Compiled from pyproject.toml by docs/lock.sh: what ./run.sh all needs, with exact versions." \
  "# The packages that a CUDA build of PyTorch brings are not listed: it requires exact versions of them itself."
