# SPDX-License-Identifier: Apache-2.0
"""What Python says of the compiled part's interface is what C says of it."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from object2vec.compiled import library
from object2vec.compiled.library import CONSTANTS, FUNCTIONS, STRUCTURES, Library
from object2vec.errors import PlatformError

pytestmark = pytest.mark.own_way

SOURCES = Path(library.__file__).parent / "src"
HEADER = (SOURCES / "interface.h").read_text(encoding="utf-8")
TABLE = (SOURCES / "interface.c").read_text(encoding="utf-8")


def compiled(
    folder: Path, header: str = HEADER, table: str = TABLE, functions: Any = FUNCTIONS
) -> Library:
    """A library that has the table, and functions that do nothing."""
    (folder / "interface.h").write_text(header, encoding="utf-8")
    (folder / "table.c").write_text(table, encoding="utf-8")
    text = "".join(f"void object2vec_{name}(void) {{}}\n" for name in functions)
    (folder / "functions.c").write_text(text, encoding="utf-8")
    command = ("gcc", "-shared", "-fPIC", "table.c", "functions.c", "-o", "library.so")
    subprocess.run(command, cwd=folder, check=True)
    return Library(str(folder / "library.so"))


def test_the_same_interface_is_taken(tmp_path: Path) -> None:
    assert compiled(tmp_path).constants.keys() == set(CONSTANTS)


CHANGES = {
    "a field more": (
        "    int64_t width;\n    float decay, decoupled",
        "    int64_t width, height;\n    float decay, decoupled",
        "its Table.decay begins at byte 96 and has 4 bytes, and should begin at byte 88 and have 4",
    ),
    "another order": (
        "float rate, beta1, beta2",
        "float beta1, rate, beta2",
        "its AdamConstants.rate begins at byte 4 and has 4 bytes, and should begin at byte 0",
    ),
    "another width": (
        "    int64_t hidden_size; ",
        "    int32_t hidden_size; ",
        "its LstmDirection.hidden_size begins at byte 0 and has 4 bytes, and should",
    ),
    "longer": (
        "MAX_GRADIENTS 2",
        "MAX_GRADIENTS 3",
        "its Table.gradients begins at byte 48 and has 24 bytes",
    ),
}


@pytest.mark.parametrize(("old", "new", "problem"), CHANGES.values(), ids=CHANGES)
def test_another_structure_is_told(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert HEADER.count(old) == 1
    with pytest.raises(PlatformError) as told:
        compiled(tmp_path, header=HEADER.replace(old, new))
    message = str(told.value)
    assert f"library.so, belongs to other Python code than this: {problem}" in message
    assert message.endswith(
        "; build it again with `python setup.py build_ext --inplace`, or install object2vec again."
    )


def test_a_library_without_a_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="it tells nothing of its interface; build it again"):
        compiled(tmp_path, table="")


def test_a_number_too_few_or_too_many_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="it knows no UNITS; build"):
        compiled(tmp_path, table=TABLE.replace("CONSTANT(UNITS),", ""))
    with pytest.raises(PlatformError, match="it has MAX_GRADIENTS, which is unknown here; build"):
        more = TABLE.replace("CONSTANT(UNITS),", "CONSTANT(UNITS), CONSTANT(MAX_GRADIENTS),")
        (tmp_path / "more").mkdir()
        compiled(tmp_path / "more", table=more)


def test_a_missing_function_is_told(tmp_path: Path) -> None:
    functions = [name for name in FUNCTIONS if name != "score"]
    with pytest.raises(PlatformError, match="it has no function object2vec_score; build it again"):
        compiled(tmp_path, functions=functions)


OF_C = {"int": ctypes.c_int, "int64_t": ctypes.c_int64, "float": ctypes.c_float, **STRUCTURES}


def of_c(text: str) -> Any:
    """The type of a parameter as C declares it."""
    name, stars = re.fullmatch(r"(?:const )?(\w+) (\**)\w+", text).groups()  # type: ignore[union-attr]
    if not stars:
        return OF_C[name]
    return ctypes.POINTER(STRUCTURES[name]) if name in STRUCTURES else ctypes.c_void_p


def test_signatures_are_those_of_the_header() -> None:
    found = {}
    for returned, name, text in re.findall(r"^(\w+) object2vec_(\w+)\(([^)]*)\);", HEADER, re.M):
        taken = [] if text == "void" else re.split(r",\s*", text)
        found[name] = OF_C[returned], tuple(map(of_c, taken))
    assert found == FUNCTIONS


def test_every_structure_and_field_is_in_the_table() -> None:
    """One that C alone has would go unnoticed where it stands at the end, in padding."""
    in_header = {}
    bodies = re.findall(r"^typedef struct \{\n(.*?)^\} (\w+);", HEADER, re.M | re.S)
    for body, name in bodies:
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        calls = re.findall(r"\(\*(\w+)\)\(void \*+\w+", body)
        fields = re.findall(r"(\w+)(?:\[\w+\])?[,;]", re.sub(r"\([^;]*;", "", body))
        in_header[name] = calls if name == "Api" else fields
    del in_header["InterfaceEntry"]
    in_header["Api"].append("push")
    assert {name: sorted(fields) for name, fields in in_header.items()} == {
        name: sorted(field for field, _ in structure._fields_)
        for name, structure in STRUCTURES.items()
    }
