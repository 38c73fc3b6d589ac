# SPDX-License-Identifier: Apache-2.0
"""The compiled part takes pointers to MXNet's arrays only where their memory is its own to use.

An engine that stands in for MXNet's keeps operations back, and knows when it is asked for memory.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec.compiled import kernels
from object2vec.compiled.library import (
    ARRAY_CALL,
    FIND_CALL,
    PUSH_CALL,
    AdamConstants,
    Api,
    Arrays,
    Parameter,
    Table,
)
from object2vec.errors import AlgorithmError

pytestmark = pytest.mark.own_way

PACKAGE = Path(kernels.__file__).parent
_P = ctypes.c_void_p
_SHARED = 1000  # what is added to the handle of an array that is held


class KeptBack:
    """An engine whose one operation runs when the test says so."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self._arrays = arrays
        self._shared: set[int] = set()
        self._tensors: dict[int, Any] = {}
        self._is_running = False
        self.refuses = False
        self._queued: Callable[[], None] = lambda: pytest.fail("nothing was queued")
        self._api = Api(
            ARRAY_CALL(lambda _: self._fail("waited for an array")),
            FIND_CALL(lambda *_: self._fail("took a pointer where it queues an operation")),
            FIND_CALL(self._share),
            ARRAY_CALL(self._free),
            FIND_CALL(self._to_dlpack),
            ARRAY_CALL(lambda tensor: int(self._tensors.pop(tensor) is None)),
            PUSH_CALL(self._push),
        )
        self.api = ctypes.byref(self._api)
        self.problems: list[str] = []

    def _fail(self, problem: str) -> int:
        self.problems.append(problem)
        return -1

    def _share(self, array: int, other: Any) -> int:
        assert array not in self._shared
        self._shared.add(array + _SHARED)
        other[0] = array + _SHARED
        return 0

    def _free(self, array: int) -> int:
        self._shared.remove(array)
        return 0

    def _to_dlpack(self, array: int, tensor: Any) -> int:
        if not self._is_running:
            return self._fail("took a pointer before its operation ran")
        if array not in self._shared:
            return self._fail("took a pointer of an array that it does not hold")
        if self.refuses:
            return -1
        data = _P(self._arrays[array - _SHARED - 1].ctypes.data)
        tensor[0] = ctypes.addressof(data)
        self._tensors[ctypes.addressof(data)] = data
        return 0

    def _push(self, call: Any, argument: int, deleter: Any, *_others: Any) -> int:
        self._queued = lambda: (call(None, argument), deleter(argument))  # type: ignore[assignment]
        return 0

    def run(self) -> None:
        """Run what was queued; all that it held must be free afterwards."""
        self._is_running = True
        self._queued()
        self._is_running = False
        assert not self.problems
        assert not self._shared
        assert not self._tensors


ROWS = np.array([1, 3], np.int32)
NO_ARRAYS = Arrays()


def queue_lookup(engine: KeptBack, width: int, *, weighted: bool = False) -> None:
    offsets, tokens = np.array([0, 2, 2, 3]), np.array([1, 3, 0], np.int32)
    assert not kernels.library.object2vec_queue_mean_of_rows(
        engine.api, None, _P(1), _P(3) if weighted else None, _P(2), width, 3,
        offsets.ctypes.data, tokens.ctypes.data,
    )  # fmt: skip
    # the caller's lists are his again
    offsets[:] = tokens[:] = 77


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_lookup_finds_its_arrays_when_it_runs(weighted: bool, rng: np.random.Generator) -> None:
    table, answer = rng.normal(size=(5, 7)).astype(np.float32), np.empty((3, 7), np.float32)
    weights = rng.normal(size=(5, 1)).astype(np.float32)
    engine = KeptBack(table, answer, *[weights] * weighted)
    queue_lookup(engine, table.shape[1], weighted=weighted)
    table += 1  # whatever was queued before still writes
    weights += 1
    engine.run()
    table = table * weights if weighted else table
    np.testing.assert_allclose(
        answer, [table[[1, 3]].mean(0), np.zeros(7), table[0]], rtol=1e-6, atol=1e-7
    )


def test_catching_up_finds_its_arrays_when_it_runs(rng: np.random.Generator) -> None:
    weight, mean, variance = np.abs(rng.normal(size=(3, 5, 4))).astype(np.float32)
    engine = KeptBack(weight, mean, variance)
    factors = np.abs(rng.normal(size=(5, 2, 1))).astype(np.float32)
    a, h, b1, b2, shrinkage = factors.copy()
    rows = ROWS.copy()
    assert not kernels.library.object2vec_catch_up(
        engine.api, None, Arrays(1, 2, 3), 4, 2,
        rows.ctypes.data, factors.ctypes.data, 1e-8,
    )  # fmt: skip
    rows[:], factors[:] = 0, 77
    weight += 1
    expected = weight.copy()
    expected[ROWS] *= 1 - shrinkage
    expected[ROWS] -= a * mean[ROWS] / (np.sqrt(h * variance[ROWS]) + 1e-8)
    moments = b1 * mean[ROWS], b2 * variance[ROWS]
    engine.run()
    np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose((mean[ROWS], variance[ROWS]), moments, rtol=1e-6)


def queue_step(engine: KeptBack, weights: Arrays = NO_ARRAYS) -> None:
    """A step with one parameter, arrays 1 to 4, and one table, arrays 5 to 9, of 5 rows of 4."""
    lists = (ROWS.copy(), np.array([0, 2, 3], np.int32), np.array([0, 2, 1], np.int32))
    mean_weights = np.array([1, 1, 0.5], np.float32)
    parameter = Parameter(Arrays(1, 2, 3), 4, 6, 0.0)
    table = Table(
        Arrays(5, 6, 7), weights, (_P * 2)(8, 9), (ctypes.c_int64 * 2)(2, 1), 4, 0.0, 0.0, 2, 3,
        *(array.ctypes.data for array in (*lists, mean_weights)),
    )  # fmt: skip
    assert not kernels.library.object2vec_adam_step(
        engine.api, None, ctypes.byref(parameter), 1, ctypes.byref(table),
        1, AdamConstants(0.1, 0.9, 0.999, 1e-8, 2.0),
    )  # fmt: skip
    for array in (*lists, mean_weights):
        array[:] = 77


def arrays_of_a_step(rng: np.random.Generator) -> list[np.ndarray]:
    shapes = [(6,)] * 4 + [(5, 4)] * 3 + [(2, 4), (1, 4)]
    return [np.abs(rng.normal(size=shape)).astype(np.float32) for shape in shapes]


def test_a_step_finds_its_arrays_when_it_runs(rng: np.random.Generator) -> None:
    arrays = arrays_of_a_step(rng)
    engine = KeptBack(*arrays)
    queue_step(engine)
    for gradient in (arrays[3], arrays[7], arrays[8]):
        gradient += 1  # the backward pass has yet to run
    expected = [array.astype(np.float64) for array in arrays]
    of_rows = np.zeros((5, 4))
    of_rows[1] = expected[7][0] + 0.5 * expected[8][0]
    of_rows[3] = expected[7][1]
    for first, gradient, rows in ((0, expected[3], slice(None)), (4, of_rows, ROWS)):
        weight, mean, variance = expected[first : first + 3]
        g = 2 * gradient[rows]
        mean[rows] = 0.9 * mean[rows] + 0.1 * g
        variance[rows] = 0.999 * variance[rows] + 0.001 * g * g
        weight[rows] -= 0.1 * mean[rows] / (np.sqrt(variance[rows]) + 1e-8)
    engine.run()
    for now, then in zip(arrays, expected):
        np.testing.assert_allclose(now, then, rtol=1e-5, atol=1e-5)


def test_a_step_finds_the_weights_of_tokens_when_it_runs(rng: np.random.Generator) -> None:
    arrays = arrays_of_a_step(rng)
    of_weights = [np.abs(rng.normal(size=(5, 1))).astype(np.float32) for _ in range(3)]
    engine = KeptBack(*arrays, *of_weights)
    queue_step(engine, Arrays(10, 11, 12))
    of_weights[0] += 1
    before = of_weights[0].copy()
    engine.run()
    np.testing.assert_array_equal(np.flatnonzero(of_weights[0] != before), ROWS)


def test_an_array_in_a_layout_of_onednn_is_refused(rng: np.random.Generator) -> None:
    arrays = arrays_of_a_step(rng)
    before = [array.copy() for array in arrays]
    engine = KeptBack(*arrays)
    engine.refuses = True
    queue_step(engine)
    engine.run()
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in arrays]),
                                  np.concatenate([a.ravel() for a in before]))  # fmt: skip
    with pytest.raises(AlgorithmError, match="layout of its own"):
        kernels.check_queued()
    kernels.check_queued()


def test_pointers_are_taken_in_two_places_only() -> None:
    """See the rule in kernels.h; a third place would need its own proof."""
    uses = {
        path.name: len(re.findall(r"MXNDArrayGetData|get_data\(|to_dlpack\(|ToDLPack", text))
        for path in sorted(PACKAGE.rglob("*.[pch]*"))
        if path.suffix in (".py", ".c", ".h") and (text := path.read_text())
    }
    # the names of the functions and `address_of`; `wait_for` and `data_of`
    assert {name: count for name, count in uses.items() if count} == {
        "kernels.py": 3,
        "kernels.h": 2,
    }
