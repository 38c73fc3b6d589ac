#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write anew the hashes of all that the image takes from PyPI: image*.txt in this folder, made from
# container/requirements*.txt and build-constraints.txt. Run in the top folder of the project.
set -eu

# What the image is: Python 3.11 on x86-64.
platform="--python-version 3.11 --python-platform x86_64-manylinux_2_28"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9

lock() {
    target=$1
    shift
    echo "# Made by requirements/lock.sh; do not edit." >"$work/lock"
    # --no-deps: the inputs name everything, and leave out what is declared but not imported.
    # shellcheck disable=SC2086
    "$work/venv/bin/uv" pip compile --quiet --no-config --no-deps --generate-hashes $platform \
        --no-header --no-annotate --no-emit-index-url "$@" >>"$work/lock"
    cp "$work/lock" "$target"
}

lock requirements/image.txt container/requirements.txt
lock requirements/image-cpu.txt container/requirements-cpu.txt
lock requirements/image-gpu.txt container/requirements-gpu.txt
# What gluonnlp, which comes as source only, is built with; setuptools is the one that stays.
lock requirements/image-build.txt requirements/build-constraints.txt -c container/requirements.txt
