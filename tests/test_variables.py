# SPDX-License-Identifier: Apache-2.0
"""The table of environment variables in docs/ names each one that the code reads or sets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_way

ROOT = Path(__file__).resolve().parent.parent


def sources() -> Iterator[tuple[Path, ast.Module]]:
    files = [*(ROOT / "object2vec").rglob("*.py")]
    files += [path for path in (ROOT / "container").iterdir() if "python" in first_line(path)]
    for path in files:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0] if path.is_file() else ""


def constants() -> dict[str, set[str]]:
    """Names that modules give to texts, as they or another module's ``as`` call them."""
    found: dict[str, set[str]] = {}
    for _, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, set()).add(str(node.value.value))
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.alias) and node.asname and node.name in found:
                found.setdefault(node.asname, set()).update(found[node.name])
    return found


def asked_for(tree: ast.Module) -> Iterator[ast.expr]:
    """What stands where an environment's variable is named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_environment(node.value):
            if not isinstance(getattr(node.slice, "value", ""), int):  # that of a C structure
                yield node.slice
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            if (
                name in ("get", "setdefault", "pop") and is_environment(function.value)
            ) or name in ("getenv", "putenv", "unsetenv"):  # type: ignore
                yield node.args[0]
        elif isinstance(node, ast.Compare) and is_environment(node.comparators[0]):
            yield node.left


def is_environment(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environment"
    )


@pytest.mark.slow
def test_the_table_names_every_variable() -> None:
    table = (ROOT / "docs/variables.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", table))
    known, seen = constants(), set()
    for path, tree in sources():
        for node in asked_for(tree):
            if isinstance(node, ast.Constant):
                seen.add(str(node.value))
            elif isinstance(node, ast.Name) and node.id in known:
                seen |= {text for text in known[node.id] if re.fullmatch("[A-Z][A-Z0-9_]+", text)}
            else:  # the names of a loop, which test_serving_settings.py holds
                assert path.name == "settings.py", (path, ast.dump(node))
    assert len(seen) > 15
    unnamed = {name for name in seen - named if not name.startswith("SAGEMAKER_")}
    assert not unnamed
    serving = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    for name in seen - named:
        assert f"`{name}`" in serving, name
    image = (ROOT / "container/Dockerfile").read_text(encoding="utf-8")
    for block in re.findall(r"^ENV ((?:.*\\\n)*.*)$", image, re.MULTILINE):
        assert set(re.findall(r"([A-Z_]+)=", block)) <= named
