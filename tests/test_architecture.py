# SPDX-License-Identifier: Apache-2.0
"""The rooms of the package: what each may import, as CONTRIBUTING's table of rooms says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_way

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "object2vec"
NOTHING, ALL = "nothing", "all"
VAGUE = {"util", "utils", "core", "common", "helper", "helpers", "misc", "lib"}


def table_of_rooms() -> list[tuple[list[str], list[str]]]:
    """What stands in a row, folders and modules, and what these may import besides each other."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, table = text.split("| room | its job | may import |\n|---|---|---|\n")
    rows = []
    for line in table.splitlines():
        if not line.startswith("|"):
            break
        room, _, imports = (cell.strip() for cell in line.strip("|").split("|"))
        rows.append((re.findall(r"`([^`]+)`", room), [word.strip() for word in imports.split(",")]))
    return rows


ROWS = table_of_rooms()
ROOMS = {name: imports for row, imports in ROWS for name in row}
BESIDE = {name: row for row, _ in ROWS for name in row}
GROUND = [name for name, imports in ROOMS.items() if imports == [NOTHING]]


def room_of(module: str) -> str:
    """The row of a module: `hyperparameters/` of ``object2vec.hyperparameters.table``."""
    first = f"{module}.__init__".split(".")[1]
    return f"{first}/" if (PACKAGE / first).is_dir() else f"{first}.py"


def file_of(module: str) -> str:
    return f"{'/'.join(module.split('.')[1:])}.py"


def allowed(room: str) -> set[str]:
    """Rooms, and modules of other rooms, that a room may import; what those may, it may too."""
    found: set[str] = set()
    left = [room]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        # a module of a room stands for itself, without what its room may import
        for other in ROOMS.get(name, [NOTHING]):
            left += {NOTHING: [], ALL: list(ROOMS), "ground": GROUND}.get(other, [other])
        left += BESIDE.get(name, [])
    return found


def imported(source: str) -> set[str]:
    """Our own modules that a source imports, wherever in it, and for types alone too."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (PACKAGE.parent / inner.replace(".", "/")).with_suffix(".py").is_file()
                is_package = (PACKAGE.parent / inner.replace(".", "/")).is_dir()
                modules.add(inner if is_module or is_package else str(node.module))
    return {name for name in modules if name.split(".")[0] == "object2vec"}


def modules() -> list[str]:
    return [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]


def test_every_form_of_an_import_is_seen() -> None:
    source = """
from object2vec import cli
from object2vec.training import metric_lines
import object2vec.errors as errors
import numpy
if TYPE_CHECKING:
    from object2vec.model.network import Object2VecNetwork
def late():
    from object2vec.serving.server import LOOPBACK
"""
    assert imported(source) == {
        "object2vec.cli",
        "object2vec.training.metric_lines",
        "object2vec.errors",
        "object2vec.model.network",
        "object2vec.serving.server",
    }


def test_the_table_says_what_a_room_may_not() -> None:
    assert "data/" in allowed("inference/") and "training/" not in allowed("inference/")
    assert "training/metric_lines.py" in allowed("sagemaker/")
    assert not {"training/", "model/", "backend/"} & allowed("sagemaker/")
    assert not {"backend/", "model/"} & allowed("data/")


def test_a_module_imports_only_what_its_room_may() -> None:
    wrong = {}
    for name in modules():
        module = "object2vec." + name[: -len(".py")].replace("/", ".")
        room = room_of(module)
        assert room in ROOMS, f"{room} has no row in CONTRIBUTING's table of rooms"
        may = allowed(room)
        wrong[name] = {
            other
            for other in imported((PACKAGE / name).read_text(encoding="utf-8"))
            if other != "object2vec" and room_of(other) not in may and file_of(other) not in may
        }
    assert not {name: others for name, others in wrong.items() if others}


@pytest.mark.parametrize("room", [name for name in ROOMS if ROOMS[name] != [ALL]])
def test_there_is_no_way_back(room: str) -> None:
    below = allowed(room) - set(BESIDE[room])
    back = {name for name in below & set(ROOMS) if room in allowed(name)}
    assert not back


def test_no_modules_import_each_other() -> None:
    """Neither in a circle of several, nor inside a function, nor for types alone."""
    graph = {}
    for name in modules():
        module = f"object2vec.{name[: -len('.py')].replace('/', '.')}".replace(".__init__", "")
        graph[module] = imported((PACKAGE / name).read_text(encoding="utf-8")) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_every_row_is_a_room() -> None:
    for name in ROOMS:
        assert (PACKAGE / name).exists(), f"CONTRIBUTING's table names {name}, which is not there"


def test_rooms_say_what_is_in_them() -> None:
    for folder in (path for path in PACKAGE.rglob("*") if path.is_dir()):
        assert folder.name not in VAGUE
        files = [path for path in folder.iterdir() if path.suffix in (".py", ".c", ".h", ".java")]
        others = [path for path in files if path.name != "__init__.py"]
        # what was built, and what a branch left behind, is no room
        assert len(others) != 1, f"{folder} holds one file"
    assert not {Path(name).stem for name in modules()} & VAGUE


def test_a_package_imports_nothing_heavy() -> None:
    packages = [f"object2vec.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.py"))]
    assert len(packages) > 10
    program = f"import sys, {', '.join(packages)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert not {"mxnet", "numpy", "gluonnlp", "orjson", "tqdm"} & set(done.stdout.split())
