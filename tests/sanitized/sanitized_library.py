# SPDX-License-Identifier: Apache-2.0
"""The sanitized compiled part, its structures, and an engine that stands in for MXNet's.

MXNet is not loaded: its library knows nothing of the sanitizers, and is slow under them.
"""

from __future__ import annotations

import ctypes
import os
import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import object2vec.compiled.library
from object2vec.compiled.library import ARRAY_CALL, FIND_CALL, PUSH_CALL, Api, Library
from object2vec.data.arrays import TokenLists

P = ctypes.c_void_p
FAILED = -1  # what a function of MXNet's returns after an error

SOURCES = Path(object2vec.compiled.library.__file__).parent / "src"

if "SANITIZED_LIBRARY" not in os.environ:
    raise RuntimeError("SANITIZED_LIBRARY is not set: run these checks by `make sanitize`")
_library = Library(os.environ["SANITIZED_LIBRARY"])
constants, library = _library.constants, _library.loaded
isas_passed_over = ctypes.c_int.in_dll(library, "object2vec_isas_passed_over")
refused = ctypes.c_int.in_dll(library, "object2vec_refused")
allocations_live = ctypes.c_long.in_dll(library, "allocations_live")
allocations_left = ctypes.c_long.in_dll(library, "allocations_left")

_libc = ctypes.CDLL(None)
_libc.malloc.restype = P
_libc.malloc.argtypes = (ctypes.c_size_t,)
_libc.free.argtypes = (P,)
_libc.free.restype = None

# Widths around every vector, cache line, panel and block of columns.
WIDTHS = (
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    95,
    96,
    97,
    191,
    192,
    193,
    1000,
)


def chosen_size(name: str) -> int:
    """A constant of sizes.h."""
    header = (SOURCES / "sizes.h").read_text(encoding="utf-8")
    return int(re.findall(rf"^#define {name} (\d+)\b", header, re.MULTILINE)[0])


def exact(array: Any, dtype: type = np.float32) -> np.ndarray:
    """A copy in a block of its own that ends with the last element; it is freed with the array."""
    array = np.ascontiguousarray(array, dtype)
    address = _libc.malloc(array.nbytes)
    memory = (ctypes.c_char * array.nbytes).from_address(address)
    weakref.finalize(memory, _libc.free, address)
    copy: np.ndarray = np.ndarray(array.shape, dtype, buffer=memory)
    copy[...] = array
    return copy


def unwritten(*shape: int) -> np.ndarray:
    """Memory for an output, NaN so far."""
    return exact(np.full(shape, np.nan))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """The address of an array's elements."""
    return P(array.ctypes.data)


class CallFailed(Exception):
    """An exported function returned a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def call(name: str, *arguments: Any) -> None:
    """Call an exported function.

    Raises
    ------
    CallFailed
    """
    code = getattr(library, f"object2vec_{name}")(*map(_argument, arguments))
    if code != 0:
        raise CallFailed(code)


def group_tokens(
    tokens: np.ndarray, rows: np.ndarray, starts: np.ndarray, positions: np.ndarray
) -> int:
    """The one exported function that returns a number."""
    arrays = map(pointer, (rows, starts, positions))
    return int(library.object2vec_group_tokens(pointer(tokens), len(tokens), *arrays))


def _argument(value: Any) -> Any:
    return pointer(value) if isinstance(value, np.ndarray) else value


class Engine:
    """What the compiled part asks of MXNet; handles are numbers, and `run` runs what was queued.

    Attributes
    ----------
    fails : dict of str to int
        After how many calls a function fails, once.
    written, read : list of int
        The handles that the last operation declared.
    """

    def __init__(self) -> None:
        self._arrays: dict[int, np.ndarray] = {}
        self._shared: dict[int, int] = {}
        self._tensors: dict[int, Any] = {}
        self._queued: list[Callable[[], None]] = []
        self._handles = iter(range(1, 1 << 30))
        self.fails: dict[str, int] = {}
        self.read: list[int] = []
        self.written: list[int] = []
        self._api = Api(
            ARRAY_CALL(lambda array: self._returns("wait", lambda: self._arrays[array])),
            FIND_CALL(
                lambda array, data: self._returns("get_data", lambda: self._find(array, data))
            ),
            FIND_CALL(
                lambda array, other: self._returns("share", lambda: self._share(array, other))
            ),
            ARRAY_CALL(lambda array: self._returns("free", lambda: self._shared.pop(array))),
            FIND_CALL(
                lambda array, to: self._returns("to_dlpack", lambda: self._to_dlpack(array, to))
            ),
            ARRAY_CALL(
                lambda tensor: self._returns("free_dlpack", lambda: self._tensors.pop(tensor))
            ),
            PUSH_CALL(self._push),
        )
        self.api = ctypes.byref(self._api)

    def array(self, elements: np.ndarray) -> int:
        """A handle."""
        handle = next(self._handles)
        self._arrays[handle] = elements
        return handle

    def arrays(self, arrays: Iterable[np.ndarray]) -> list[int]:
        """Handles."""
        return [self.array(array) for array in arrays]

    def run(self) -> None:
        """Run what was queued; all that it held must be free afterwards."""
        for operation in self._queued:
            operation()
        self._queued.clear()
        self.check_that_nothing_is_held()

    def check_that_nothing_is_held(self) -> None:
        """Nothing shared, nothing lent."""
        assert not self._queued
        assert not self._shared
        assert not self._tensors

    def _returns(self, name: str, does: Callable[[], object]) -> int:
        self.fails[name] = self.fails.get(name, -1) - 1
        if self.fails[name] == -1:
            return FAILED
        does()
        return 0

    def _find(self, array: int, data: Any) -> None:
        data[0] = self._arrays[array].ctypes.data

    def _share(self, array: int, other: Any) -> None:
        other[0] = handle = next(self._handles)
        self._shared[handle] = array

    def _to_dlpack(self, array: int, tensor: Any) -> None:
        data = pointer(self._arrays[self._shared[array]])
        tensor[0] = address = ctypes.addressof(data)
        self._tensors[address] = data

    def _push(
        self, run: Any, argument: int, deleter: Any, _context: Any, read: Any, reads: int,
        written: Any, writes: int, *_others: Any,
    ) -> int:  # fmt: skip
        self.read, self.written = read[:reads], written[:writes]

        def queue() -> None:
            self._queued.append(lambda: (run(None, argument), deleter(argument)))

        code = self._returns("push", queue)
        if code != 0:  # MXNet frees it then as well
            deleter(argument)
        return code


def random_lists(rng: np.random.Generator, lengths: Sequence[int], vocab: int) -> TokenLists:
    """Token lists whose ids stand in any order, some twice."""
    tokens = rng.integers(0, vocab, int(np.sum(lengths))).astype(np.int32)
    return TokenLists.from_lengths(tokens, np.array(lengths, np.int64))


def offsets_and_tokens(lists: TokenLists) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and tokens, in exact blocks."""
    return exact(lists.offsets, np.int64), exact(lists.tokens, np.int32)


def table_of(rng: np.random.Generator, lists: TokenLists, vocab: int, width: int) -> np.ndarray:
    """A token table, NaN in all rows that the lists do not use."""
    table = np.full((vocab, width), np.nan)
    table[lists.tokens] = rng.normal(size=(len(lists.tokens), width))
    return exact(table)
