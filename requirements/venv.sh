#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make a virtual environment with object2vec (editable), its serving parts and its test tools.
# Usage: requirements/venv.sh FOLDER [PYTHON]; run in the top folder of the project.
set -eu

folder=$1
wanted=${2:-}

fail() {
    echo "object2vec: $*" >&2
    exit 1
}

is_suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

python=
for candidate in ${wanted:-python3 python3.12 python3.11 python3.10 python3.9}; do
    if is_suitable "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ] && [ -n "$wanted" ]; then
    fail "'$wanted' is no Python 3.9, 3.10, 3.11 or 3.12, the versions that MXNet 1.9.1 works with."
elif [ -z "$python" ]; then
    fail "no Python 3.9, 3.10, 3.11 or 3.12 is on the PATH; install one, or name it:" \
        "make test PYTHON=/path/to/python3.11"
fi

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python lacks the modules venv and ensurepip (Debian, Ubuntu: apt install python3-venv)."
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
    fail "$python has no headers, which object2vec and gluonnlp need" \
        "(Debian, Ubuntu: apt install python3-dev)."
command -v "${CC:-cc}" >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 ||
    fail "there is no C compiler, which object2vec and gluonnlp need (Debian, Ubuntu: apt install gcc)."

"$python" -m venv --clear "$folder"
# What is left of another build would be found before what is built now.
rm -f object2vec/compiled/_kernels.*.so
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
    --editable '.[serve,test]'
# On all cores, where pip takes one; some packages hold files that no Python compiles.
"$folder/bin/python" -m compileall -q -j 0 "$folder/lib" >/dev/null 2>&1 || true
# setup.py lets an installation do without it; the tests and wheels cannot.
"$folder/bin/python" -m object2vec.compiled.library ||
    fail "the compiled part was not built; pip tells why:" \
        "$folder/bin/python -m pip install -v --no-deps --editable ."
