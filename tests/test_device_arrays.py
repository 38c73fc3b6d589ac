# SPDX-License-Identifier: Apache-2.0
"""Arrays that are read from memory are those that MXNet makes; its sparse products add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from object2vec.backend.device_arrays import to_device
from object2vec.backend.mxnet_import import mx

pytestmark = pytest.mark.own_way

CPU = mx.cpu(0)


def bytes_of(array: Any) -> bytes:
    return bytes(array.__getstate__()["handle"])


@pytest.mark.parametrize("context", [CPU, mx.cpu(1)], ids=str)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4), (300, 70)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_dense(dtype: type, shape: tuple[int, ...], context: Any, rng: np.random.Generator) -> None:
    given = rng.integers(-(1 << 20), 1 << 20, shape).astype(dtype)
    for array in (given, given.T):
        answer = to_device(array, context)
        assert answer.context == context
        assert answer.dtype == dtype
        assert np.array_equal(answer.asnumpy(), array)
        assert bytes_of(answer) == bytes_of(mx.nd.array(array, dtype=dtype, ctx=context))


@pytest.mark.parametrize("columns", [1, 3, 2_000])
@pytest.mark.parametrize("width", [1, 17, 300])
def test_products_add_up_columns_that_come_again(
    width: int, columns: int, rng: np.random.Generator
) -> None:
    lengths = rng.integers(0, 60, 200)
    rows = np.repeat(np.arange(200), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = rng.integers(0, columns, len(rows)).astype(np.int32)
    values = rng.uniform(size=len(rows)).astype(np.float32)
    dense = np.zeros((200, columns))
    np.add.at(dense, (rows, found), values)
    table, slope = (rng.normal(size=(n, width)).astype(np.float32) for n in (columns, 200))

    on_device = mx.nd.array(table)
    on_device.attach_grad(stype="row_sparse")
    weights = mx.nd.sparse.csr_matrix((values, found, starts), shape=(200, columns))
    with mx.autograd.record():
        product = mx.nd.dot(weights, on_device)
    product.backward(mx.nd.array(slope))
    np.testing.assert_allclose(product.asnumpy(), dense @ table, rtol=1e-4, atol=1e-4)
    expected = dense.T @ slope
    limit = 1e-5 * np.abs(dense).sum(axis=0).max()
    np.testing.assert_allclose(on_device.grad.asnumpy(), expected, rtol=1e-4, atol=limit)
    assert np.array_equal(on_device.grad.indices.asnumpy(), np.unique(found))
