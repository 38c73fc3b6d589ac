# SPDX-License-Identifier: Apache-2.0
"""The door to the compiled part: whether it can be used here, and its interface in C.

It imports no MXNet. `interface.h` declares the interface a second time; when the library is loaded,
the table that it brings along is compared with what is declared here.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import os
import platform
import struct
import sys
from ctypes import POINTER, c_float, c_int, c_int64, c_void_p
from typing import Any, Optional, Union

from object2vec.errors import CustomerError, PlatformError
from object2vec.resources import cpu_flags, cpu_text
from object2vec.text import named, quoted

VARIABLE = "OBJECT2VEC_COMPILED"  # 0 forces MXNet's operators
_EXTENSION = "object2vec.compiled._kernels"
_MACHINE = "x86_64"
# Of a 64-bit ELF file: where its section headers begin, how long each is, and how many there are.
_ELF_HEADER = struct.Struct("<40xQ10xHH2x")
# The instructions that it needs, as Linux and as people name them.
_INSTRUCTIONS = {"avx2": "AVX2", "fma": "FMA"}

ARRAY_CALL = ctypes.CFUNCTYPE(c_int, c_void_p)
FIND_CALL = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_void_p))
RUN_CALL = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
DELETE_CALL = ctypes.CFUNCTYPE(None, c_void_p)
PUSH_CALL = ctypes.CFUNCTYPE(
    c_int, RUN_CALL, c_void_p, DELETE_CALL, c_void_p, POINTER(c_void_p), c_int, POINTER(c_void_p),
    c_int, c_void_p, c_int, ctypes.c_char_p,
)  # fmt: skip


def _fields(type_: Any, names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, type_) for name in names.split())


class Api(ctypes.Structure):
    """Functions of MXNet's C API."""

    _fields_ = (
        ("wait", ARRAY_CALL),
        ("get_data", FIND_CALL),
        ("share", FIND_CALL),
        ("free", ARRAY_CALL),
        ("to_dlpack", FIND_CALL),
        ("free_dlpack", ARRAY_CALL),
        ("push", PUSH_CALL),
    )


class Arrays(ctypes.Structure):
    """The NDArrays of a parameter."""

    _fields_ = _fields(c_void_p, "weight mean variance")


class Parameter(ctypes.Structure):
    """A parameter with a gradient of its own."""

    _fields_ = (
        ("arrays", Arrays),
        ("gradient", c_void_p),
        ("size", c_int64),
        *_fields(c_float, "decay decoupled_decay"),
    )


class Table(ctypes.Structure):
    """A token table, of which a step updates some rows."""

    MAX_GRADIENTS = 2
    _fields_ = (
        ("arrays", Arrays),
        ("token_weights", Arrays),
        ("gradients", c_void_p * MAX_GRADIENTS),
        ("sizes", c_int64 * MAX_GRADIENTS),
        ("width", c_int64),
        *_fields(c_float, "decay decoupled_decay"),
        *_fields(c_int64, "count positions"),
        *_fields(c_void_p, "rows starts vectors mean_weights"),
    )


class AdamConstants(ctypes.Structure):
    """The constants of adam."""

    _fields_ = _fields(c_float, "rate beta1 beta2 epsilon rescale plain_rate")


class Dense(ctypes.Structure):
    """A layer of the scorer."""

    _fields_ = (
        *_fields(c_void_p, "weight bias"),
        *_fields(c_int64, "inputs outputs activation"),
    )


class Scorer(ctypes.Structure):
    """Comparators, MLP and output layer."""

    _fields_ = (
        *_fields(c_int64, "enc_dim comparator_count"),
        ("comparators", c_int64 * 3),
        ("layer_count", c_int64),
        ("layers", POINTER(Dense)),
    )


class LstmDirection(ctypes.Structure):
    """One direction of an LSTM layer."""

    WEIGHTS = ("i2h", "h2h", "i2h_bias", "h2h_bias")
    _fields_ = (
        ("hidden_size", c_int64),
        *((name, c_void_p) for name in WEIGHTS),
        *_fields(c_void_p, "gates cells outputs argmax d_i2h d_h2h d_bias"),
    )


class LstmLayer(ctypes.Structure):
    """An LSTM layer in both directions."""

    _fields_ = (
        *_fields(c_int64, "lists rows steps inputs is_maximum"),
        *_fields(c_void_p, "order counts reversed x dx output d_output"),
        ("directions", LstmDirection * 2),
    )


STRUCTURES = {
    structure.__name__: structure
    for structure in (
        *(Api, Arrays, Parameter, Table, AdamConstants),
        *(Dense, Scorer, LstmDirection, LstmLayer),
    )
}
CONSTANTS = (
    *("NO_MEMORY", "PANEL", "UNITS", "NO_ISA", "AVX2", "AVX512"),
    *("HADAMARD", "CONCAT", "ABS_DIFF", "LINEAR", "RELU", "TANH"),
)
# The type that each function returns, and those of its arguments.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "isa_of_cpu": (c_int, ()),
    "adam_step": (
        c_int,
        (
            POINTER(Api),
            c_void_p,
            POINTER(Parameter),
            c_int64,
            POINTER(Table),
            c_int64,
            AdamConstants,
        ),
    ),
    "group_tokens": (c_int64, (c_void_p, c_int64, *[c_void_p] * 3)),
    "catch_up": (
        c_int,
        (POINTER(Api), c_void_p, Arrays, c_int64, c_int64, c_void_p, c_void_p, c_float),
    ),
    "mean_of_rows": (
        c_int,
        (POINTER(Api), c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p),
    ),
    "queue_mean_of_rows": (
        c_int,
        (POINTER(Api), *[c_void_p] * 4, c_int64, c_int64, c_void_p, c_void_p),
    ),
    "convolve": (
        c_int,
        (
            *(POINTER(Api), c_void_p, c_void_p, c_int64, c_int64),
            *(c_void_p, c_int64, c_int64, c_void_p, c_void_p),
        ),
    ),
    "score": (
        c_int,
        (POINTER(Api), POINTER(Scorer), c_void_p, c_void_p, c_int64, c_int, c_void_p),
    ),
    "lstm_forward": (c_int, (POINTER(LstmLayer),)),
    "lstm_backward": (c_int, (POINTER(LstmLayer),)),
}


def is_switched_off() -> bool:
    """Whether the user wants MXNet's operators.

    Raises
    ------
    CustomerError
        The variable holds something else than 0 or 1.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        raise CustomerError(
            f"{VARIABLE}={quoted(value)} should be 0, which computes by MXNet's operators alone, "
            "or 1, the default, which takes the compiled part where it can be used."
        )
    return value == "0"


def why_unfit() -> Optional[str]:
    """Why the compiled part cannot be used, as far as that is known before it is loaded.

    Loading it starts OpenMP, which reads the environment; MXNet's import changes that, so it has to
    come first.

    Raises
    ------
    CustomerError
        See `is_switched_off`.
    """
    if is_switched_off():
        return f"{VARIABLE} is 0"
    if platform.machine() != _MACHINE:
        return f"it is for {_MACHINE}, and this machine is {platform.machine() or 'unknown'}"
    missing = _missing_instructions()
    if missing:
        return f"this CPU has no {' and no '.join(missing)}"
    if not _extension_file():
        return (
            "it is not there: install object2vec where there is a C compiler, or run "
            "`python setup.py build_ext --inplace`"
        )
    return None


def why_unusable() -> Optional[str]:
    """Why the compiled part cannot be used here, for a sentence; None where it can.

    To find out, it is loaded, so MXNet must have been imported before.

    Raises
    ------
    CustomerError
        See `is_switched_off`.
    """
    reason = why_unfit()
    if reason is None:
        loaded = _loaded()
        reason = loaded if isinstance(loaded, str) else None
    return reason


def why_operators() -> Optional[tuple[str, bool]]:
    """Why operators compute what the compiled part could on a CPU; None where it does.

    Returns
    -------
    tuple of str and bool, or None
        The reason, for a log line; whether it is a fault of this installation or machine, and not
        the user's wish.

    Raises
    ------
    CustomerError
        See `is_switched_off`.
    """
    unusable = why_unusable()
    if unusable is None:
        return None
    if is_switched_off():
        return unusable, False
    return f"the compiled part cannot be used, for {unusable}", True


def load() -> Library:
    """The compiled part; the caller has asked `why_unusable`, or passes the error on to the user.

    Raises
    ------
    PlatformError
        It cannot be used.
    """
    # also where it is switched off, as some tests do
    loaded = _loaded()
    if isinstance(loaded, str):
        raise PlatformError(f"The compiled part of object2vec cannot be used: {loaded}.")
    return loaded


@functools.cache
def _loaded() -> Union[Library, str]:
    """The compiled part, or why it cannot be loaded."""
    try:
        if _is_cut_off(_extension_file()):
            return "its file is cut off: install object2vec again"
        found = Library(str(importlib.import_module(_EXTENSION).__file__))
        if found.loaded.object2vec_isa_of_cpu() == found.constants["NO_ISA"]:
            return "it has functions for no instruction set of this CPU"
        return found
    except (ImportError, OSError) as error:
        return f"it cannot be loaded ({' '.join(str(error).split())})"
    except PlatformError as error:
        return str(error).rstrip(".")


def _extension_file() -> str:
    spec = importlib.util.find_spec(_EXTENSION)
    return (spec.origin or "") if spec is not None else ""


def _is_cut_off(path: str) -> bool:
    """Whether a library ends before its section headers, the last of an ELF file: the loader maps
    what is missing too, and the process dies of it."""
    with open(path, "rb") as stream:
        header = stream.read(_ELF_HEADER.size)
        size = stream.seek(0, os.SEEK_END)
    if len(header) < _ELF_HEADER.size:
        return True
    start, entry, count = _ELF_HEADER.unpack(header)
    return bool(size < start + entry * count)


def _missing_instructions() -> list[str]:
    flags = cpu_flags(cpu_text())
    return [name for flag, name in _INSTRUCTIONS.items() if flag not in flags]


class _Entry(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", c_int64), ("size", c_int64))


class Library:
    """The compiled part.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    constants : dict of str to int
        Those of `CONSTANTS`.
    loaded : ctypes.CDLL
        Its functions, with the types of their arguments and results.

    Raises
    ------
    PlatformError
        It was built for another version of this Python code.
    """

    def __init__(self, path: str) -> None:
        self.loaded: Any = ctypes.CDLL(path)
        entries = _entries(self.loaded)
        problem = _difference(_expected(), entries) or self._declare()
        if problem is not None:
            raise PlatformError(
                f"The compiled part of object2vec, {named(path)}, belongs to other Python code "
                f"than this: {problem}; build it again with `python setup.py build_ext --inplace`, "
                "or install object2vec again."
            )
        self.constants = {name: entries[name][0] for name in CONSTANTS}

    def _declare(self) -> Optional[str]:
        for name, (returned, taken) in FUNCTIONS.items():
            function = getattr(self.loaded, f"object2vec_{name}", None)
            if function is None:
                return f"it has no function object2vec_{name}"
            function.restype, function.argtypes = returned, taken
        return None


def _entries(library: Any) -> dict[str, tuple[int, int]]:
    """The library's own table: for each structure and field its offset and size in bytes, for each
    constant its value and 0."""
    try:
        table = c_void_p.in_dll(library, "object2vec_interface")
    except ValueError:
        return {}
    found: dict[str, tuple[int, int]] = {}
    entries = ctypes.cast(ctypes.addressof(table), POINTER(_Entry))
    while entries[len(found)].name is not None:
        entry = entries[len(found)]
        found[entry.name.decode()] = entry.value, entry.size
    return found


def _expected() -> dict[str, tuple[int, int]]:
    """The same for the structures that are declared here."""
    found: dict[str, tuple[int, int]] = {}
    for name, structure in STRUCTURES.items():
        found[name] = 0, ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            descriptor = getattr(structure, field)
            found[f"{name}.{field}"] = descriptor.offset, descriptor.size
    return found


def _difference(
    expected: dict[str, tuple[int, int]], found: dict[str, tuple[int, int]]
) -> Optional[str]:
    """The first difference, for a sentence; None where there is none."""
    if not found:
        return "it tells nothing of its interface"
    for name in (*expected, *CONSTANTS):
        if name not in found:
            return f"it knows no {name}"
    # fields first, as a sentence about a field says more than one about its structure
    for name in sorted(found, key=lambda name: "." not in name):
        start, size = found[name]
        if name not in expected and name not in CONSTANTS:
            return f"it has {named(name)}, which is unknown here"
        if name in expected and expected[name] != (start, size):
            return (
                f"its {name} begins at byte {start} and has {size} bytes, and should begin at byte "
                f"{expected[name][0]} and have {expected[name][1]}"
            )
    return None


def main() -> int:
    """Check that the compiled part can be loaded, for builds that must have it; the exit code."""
    try:
        load()
    except PlatformError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
