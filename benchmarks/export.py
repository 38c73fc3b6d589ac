# SPDX-License-Identifier: Apache-2.0
"""What writing all embeddings of a vocabulary takes, format by format; a graph of ONNX beside.

``python -m benchmarks export [--objects 2999999] [--enc-dim 128] [--json]``. A model with random
weights, whose in1 has a vocabulary of names, is written once; each format is a process of
`object2vec embed` of its own, from its start on. With the unknown one a vocabulary of 2,999,999
names has all ids that there may be. ``model`` is the time and the memory that loading
this model alone takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.turns import ROOT
from object2vec.export.vector_formats import FORMATS

_LOAD = "import sys; from object2vec import Object2Vec; Object2Vec.load(sys.argv[1])"


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks export", description=__doc__)
    parser.add_argument("--objects", type=int, default=2_999_999, help="names of the vocabulary")
    parser.add_argument("--enc-dim", type=int, default=128, help="elements of a vector")
    parser.add_argument("--format", nargs="+", help="some of the formats, or onnx; default: all")
    parser.add_argument("--folder", help="where files are written; default: the temporary one")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    options = parser.parse_args(arguments)
    python = [sys.executable, "-m", "object2vec"]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        model, output = folder / "model", folder / "out"
        # in a process of its own: a child's most memory is never below what its parent had
        writer = multiprocessing.get_context("spawn").Process(
            target=_write_model, args=(model, options.objects, options.enc_dim)
        )
        writer.start()
        writer.join()
        if writer.exitcode:
            return 1
        _print("model", _measure([sys.executable, "-c", _LOAD, str(model)]), 0, options.json)
        asked = options.format or [*(each.name for each in FORMATS), "onnx"]
        for format in asked:
            output.mkdir()
            if format == "onnx":
                command = [
                    *python,
                    "export",
                    "--onnx",
                    str(output / "enc1.onnx"),
                    "--graph",
                    "enc1",
                ]
            else:
                command = [*python, "embed", "--side", "in1", "--format", format]
                command += ["--output", str(output / "vectors")]
            figures = _measure([*command, "--model-dir", str(model)])
            size = sum(path.stat().st_size for path in output.iterdir())
            _print(format, figures, size, options.json)
            for path in output.iterdir():
                path.unlink()
            output.rmdir()
    return 0


def _write_model(folder: Path, objects: int, enc_dim: int) -> None:
    from object2vec.backend.mxnet_import import mx
    from object2vec.hyperparameters.checked import parse
    from object2vec.model.model_directory import save_model
    from object2vec.model.network import Object2VecNetwork
    from object2vec.raw_values.inputs import Column, Inputs, Label, Side, Vocabulary

    vocabularies: dict[str, Any] = {
        "user": Vocabulary(tuple(f"user {n}" for n in range(100))),
        "item": Vocabulary(tuple(f"item {n}" for n in range(objects))),
    }
    sides = (Side((Column(name, "id", name),)) for name in vocabularies)
    inputs = Inputs(*sides, Label("number", "stars"), vocabularies)
    given = {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc_dim": enc_dim,
        "output_layer": "mean_squared_error",
        "comparator_list": "hadamard",
        "mlp_layers": 0,
    }
    network = Object2VecNetwork(parse({**inputs.sizes(), **given})[0])
    network.initialize([mx.cpu(0)])
    save_model(folder, network, inputs=inputs)


def _measure(command: list[str]) -> dict[str, float]:
    """CPU seconds and the most memory, MiB, of a process."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        told = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {told}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"cpu_s": round(cpu, 1), "peak_mib": round(usage.ru_maxrss / 1024)}


def _print(name: str, figures: dict[str, float], size: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"format": name, **figures, "file_mib": size >> 20}), flush=True)
        return
    cpu, memory = figures["cpu_s"], figures["peak_mib"]
    print(f"{name:16} {cpu:8.1f} CPU s {memory:8,} MiB {size >> 20:8,} MiB on disk", flush=True)
