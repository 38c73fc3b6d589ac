# SPDX-License-Identifier: Apache-2.0
"""A program for another environment's Python: asks a model through the installed package's API.

``python -I tests/installed_package.py MODEL`` prints as JSON what test_install.py compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import object2vec


def openmp_runtimes() -> list[str]:
    """The libraries for OpenMP that this process has loaded."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    files = {line.split(maxsplit=5)[5] for line in lines if line.count("/")}
    return sorted(file for file in files if re.search(r"/lib(gomp|iomp5|omp)[-.]", file))


def main() -> None:
    model = object2vec.Object2Vec.load(sys.argv[1])
    found = {
        "package": object2vec.__file__,
        "version": object2vec.__version__,
        "scores": model.predict([([1], [2])]).tolist(),
        "embeddings": model.embed(in1=[[2]]).tolist(),
    }
    again = object2vec.Object2Vec(enc0_max_seq_len=2, enc0_vocab_size=9, enc_dim=8, epochs=1)
    again.fit([{"in0": [k % 9], "in1": [k % 7, 1], "label": k % 2} for k in range(64)])
    print(json.dumps({**found, "epochs": len(again.history), "openmp": openmp_runtimes()}))


if __name__ == "__main__":
    main()
