# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands share: pairs, a small model's options, a process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from object2vec.cli import main

# Begins a program that imports MXNet in a process that `own_process.tune` does not prepare: what it
# imports where it is there, and does without, doubles the time of its import.
BARE = "import sys\nsys.modules.update(scipy=None, sklearn=None)\n"
PAIRS = [{"in0": [a], "in1": [b], "label": int(a == b)} for a in range(5) for b in range(5)]
OPTIONS = [
    *("-p", "enc0_max_seq_len=1", "-p", "enc0_vocab_size=5", "-p", "enc_dim=4"),
    *("-p", "enc0_network=pooled_embedding", "-p", "epochs=1", "-p", "mlp_dim=4"),
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_table() -> list[dict[str, Any]]:
    """The rows of raw values that it writes to table.jsonl and table.csv in the current folder."""
    plots = ("a cat sat on the mat", "two dogs ran far away home", "the sun is very hot today")
    rows: list[dict[str, Any]] = [
        {
            "user": f"u{row % 7}", "age": row % 50 + 0.5, "film": f"Film, {row % 11}",
            "genres": ("Drama|War", "Crime")[row % 2], "rating": row % 5 + 1, "time": row,
            "plot": plots[row % 3], "liked": ("no", "yes")[row % 2], "seen": row % 2,
        }
        for row in range(200)
    ]  # fmt: skip
    write_lines(Path("table.jsonl"), rows)
    lines = [",".join(rows[0])]
    lines += [",".join(f'"{value}"' for value in row.values()) for row in rows]
    Path("table.csv").write_text("\n".join(lines) + "\n")
    return rows


def process(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "object2vec", *arguments],
        capture_output=True,
        timeout=120,
        check=False,
        **keywords,
    )


def here(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The same without a process of its own, which takes a second to import MXNet."""
    streams = {"stdin": input, "stdout": b"", "stderr": b""}
    with pytest.MonkeyPatch.context() as patched:
        for name, content in streams.items():
            patched.setattr(sys, name, io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        opened = sys.stdout, sys.stderr
        code = main(list(arguments))
    said = []
    for stream in opened:
        stream.flush()
        said.append(stream.buffer.getvalue())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *said)


def one_sentence(text: str) -> str:
    assert len(text.strip().splitlines()) == 1
    assert "Traceback" not in text
    return text
