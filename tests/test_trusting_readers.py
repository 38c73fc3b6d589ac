# SPDX-License-Identifier: Apache-2.0
"""No reader that trusts its file is called anywhere: MXNet's own, pickle, eval."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_way

ROOT = Path(__file__).parent.parent
FOLDERS = ("object2vec", "container", "examples")
# By their last name, whatever they are called upon.
TRUSTING = {
    "imports", "load_checkpoint", "load_dict", "load_frombuffer", "load_json",
    "load_optimizer_states", "load_parameters", "load_params", "load_states",
    "eval", "exec", "Unpickler", "extract", "extractall", "unpack_archive",
}  # fmt: skip
# By the last two, since others are called load too.
TRUSTING_LOADS = {
    f"{owner}.{name}"
    for owner in ("nd", "ndarray", "np", "numpy", "npx", "sym", "symbol", "mx", "mxnet", "pickle",
                  "marshal", "joblib", "torch", "yaml", "shelve")
    for name in ("load", "loads", "load_npz", "open", "fromjson")
}  # fmt: skip
MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


def sources() -> list[Path]:
    python = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    # the container's programs have no ending
    programs = [
        path
        for path in (ROOT / "container").iterdir()
        if path.is_file() and path.read_bytes().startswith(b"#!") and b"python" in path.read_bytes()
    ]
    return sorted({*python, *programs})


def faults(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            parts = ast.unparse(node.func).split(".")
            is_bare = len(parts) == 1
            if parts[-1] in TRUSTING or (not is_bare and ".".join(parts[-2:]) in TRUSTING_LOADS):
                yield f"line {node.lineno}: {'.'.join(parts)}"
        elif isinstance(node, ast.Attribute) and "LoadFrom" in node.attr:
            yield f"line {node.lineno}: {node.attr}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            if isinstance(node, ast.ImportFrom) and modules[0].startswith("mxnet"):
                modules += [f"{modules[0]}.{name}" for name in names if name.startswith("load")]
            for module in modules:
                if module.split(".")[0] in MODULES or ".load" in module:
                    yield f"line {node.lineno}: import of {module}"


def test_no_file_is_given_to_a_reader_that_trusts_it() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := list(faults(path.read_text(encoding="utf-8"))))
    }
    # the one reader of MXNet's that is used gets bytes that the same function has made
    assert len(found.pop("object2vec/backend/device_arrays.py")) == 1
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "mx.nd.load(path)",
        "mxnet.ndarray.load(path)",
        "mx.gluon.SymbolBlock.imports(a, b, c)",
        "mx.gluon.nn.SymbolBlock.imports(a)",
        "trainer.load_states(path)",
        "block.load_parameters(path)",
        "mx.sym.load(path)",
        "mx.sym.load_json(text)",
        "np.load(path)",
        "pickle.loads(data)",
        "eval(text)",
        "tar.extractall(folder)",
        "shutil.unpack_archive(path)",
        "import pickle",
        "from pickle import loads",
        "from mxnet.ndarray import load",
        "lib.MXNDArrayLoadFromRawBytes(a, b)",
    ],
)
def test_the_scan_sees(line: str) -> None:
    assert list(faults(line))


def test_the_page_says_whom_to_trust() -> None:
    text = (ROOT / "docs/model_directory.md").read_text(encoding="utf-8")
    before = text[: text.index("load_parameters(")]
    paragraph = before[before.rindex("\n\n", 0, before.rindex("```python")) - 400 :]
    assert "models that you trust" in paragraph
