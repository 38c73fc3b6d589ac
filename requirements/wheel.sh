#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sdist, and from it the wheel for this platform, which serves Python 3.9 and all newer.
# Usage: requirements/wheel.sh PYTHON FOLDER; PYTHON is that of an environment with the extra `test`.
# Run in the top folder of the project.
set -eu

python=$1
folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --no-isolation --outdir "$work" .

# setup.py lets an installation do without the compiled part; what is published cannot.
"$python" -c 'import sys, zipfile
(wheel,) = sys.argv[1:]
if "object2vec/compiled/_kernels.abi3.so" not in zipfile.ZipFile(wheel).namelist():
    sys.exit("object2vec: the wheel lacks the compiled part; the compiler told above why.")' "$work"/*.whl

mkdir -p "$folder"
rm -f "$folder"/object2vec-*
# The wheel takes the machine's libgomp, as MXNet's does: with two of them in one process, each
# would keep threads of its own, and what engine.py tells the one the other would not know.
PATH="$(cd "$(dirname "$python")" && pwd):$PATH" "$python" -m auditwheel repair \
    --exclude libgomp.so.1 --wheel-dir "$folder" "$work"/*.whl
cp "$work"/*.tar.gz "$folder"
