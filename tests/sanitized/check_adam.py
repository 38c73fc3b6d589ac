# SPDX-License-Identifier: Apache-2.0
"""A step of adam, and the catching up of rows that earlier steps left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sanitized_library import WIDTHS, Engine, P, call, chosen_size, exact, pointer

from object2vec.compiled.library import AdamConstants, Arrays, Parameter, Table

ADAM_BLOCK, GRADIENT_CHUNK = map(chosen_size, ("ADAM_BLOCK", "GRADIENT_CHUNK"))
SIZES = (0, *WIDTHS, ADAM_BLOCK - 1, ADAM_BLOCK, ADAM_BLOCK + 1, 3 * ADAM_BLOCK + 5)
RATE, BETA1, BETA2, EPSILON, RESCALE, PLAIN_RATE = 0.1, 0.9, 0.99, 1e-3, 0.5, 0.2
DECAY, DECOUPLED_DECAY = 0.01, 0.3


def moments(rng: np.random.Generator, *shape: int) -> list[np.ndarray]:
    """Weight, mean and variance, and what they should become."""
    return [exact(rng.normal(size=shape)), exact(rng.normal(size=shape)),
            exact(rng.uniform(0.5, 2, shape))]  # fmt: skip


def adam(arrays: list[np.ndarray], rows: object, gradient: np.ndarray, decays: bool = True) -> None:
    weight, mean, variance = arrays
    g = RESCALE * gradient.astype(float) + decays * DECAY * weight[rows]
    mean[rows] = BETA1 * mean[rows] + (1 - BETA1) * g
    variance[rows] = BETA2 * variance[rows] + (1 - BETA2) * g**2
    moved = RATE * mean[rows] / (np.sqrt(variance[rows]) + EPSILON)
    weight[rows] -= decays * PLAIN_RATE * DECOUPLED_DECAY * weight[rows] + moved


@dataclass
class Lookup:
    """Random vectors that were looked up in a table, and what a step needs to know of them."""

    rows: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray
    mean_weights: np.ndarray
    gradients: list[np.ndarray]

    @classmethod
    def random(
        cls, rng: np.random.Generator, vocab: int, width: int, counts: list[int], order: str
    ) -> Lookup:
        """The first `counts[0]` vectors are of in0, the others of in1."""
        vectors = sum(counts)
        rows = rng.permutation(vocab)[: max(1, vocab // 2)] if vectors else np.zeros(0)
        if order == "ascending":
            rows = np.sort(rows)
        if order == "descending":
            rows = np.sort(rows)[::-1]
        # most rows are part of one vector, the first of all of them, some even twice
        used = [rng.integers(0, vectors, 1 if k else 2 * vectors) for k in range(len(rows))]
        starts = np.concatenate([[0], np.cumsum([len(positions) for positions in used])])
        return cls(
            exact(rows, np.int32),
            exact(starts, np.int32),
            exact(np.concatenate([*used, []]), np.int32),
            exact(rng.uniform(0.1, 1, vectors)),
            [exact(rng.normal(size=(count, width))) for count in counts],
        )

    def gradient(self) -> np.ndarray:
        """The gradient of each row."""
        of_vectors = np.concatenate(self.gradients).astype(float) * self.mean_weights[:, None]
        parts = zip(self.starts[:-1], self.starts[1:])
        rows = [of_vectors[self.vectors[start:end]].sum(0) for start, end in parts]
        return np.array(rows).reshape(len(self.rows), of_vectors.shape[1])

    def table(self, engine: Engine, arrays: list[np.ndarray], weights: list[np.ndarray]) -> Table:
        """The structure that the C function takes; ``arrays`` may lack moments, ``weights`` all."""
        some = [(k, array) for k, array in enumerate(self.gradients) if len(array)]
        gradients = (P * 2)()
        for k, array in some:
            gradients[k] = engine.array(array)
        sizes = [len(array) for array in self.gradients] + [0]
        lists = map(pointer, (self.rows, self.starts, self.vectors, self.mean_weights))
        return Table(
            Arrays(*engine.arrays(arrays)), Arrays(*engine.arrays(weights)), gradients,
            tuple(sizes[:2]), arrays[0].shape[1],
            DECAY, DECOUPLED_DECAY, len(self.rows), len(self.vectors),
            *(address.value for address in lists),
        )  # fmt: skip


def step(
    engine: Engine,
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    tables: list[tuple[int, int, list[int], str]],
    kind: str = "rows",
) -> None:
    """A step with parameters of these sizes, and tables as `Lookup.random` takes them.

    Of tables it moves what ``kind`` says: rows, their weights, or both.
    """
    own = [(moments(rng, size), exact(rng.normal(size=size))) for size in sizes]
    looked_up = [
        (moments(rng, vocab, width), Lookup.random(rng, vocab, width, counts, order))
        for vocab, width, counts, order in tables
    ]
    has_weights, has_moments = kind != "rows", kind != "weights"
    weights = [moments(rng, vocab, 1) if has_weights else [] for vocab, *_ in tables]
    expected, of_weights = (
        [[array.astype(float) for array in arrays] for arrays in many]
        for many in ([arrays for arrays, _ in (*own, *looked_up)], weights)
    )
    for arrays, (_, gradient) in zip(expected, own):
        adam(arrays, slice(None), gradient)
    for arrays, weight, (_, lookup) in zip(expected[len(own) :], of_weights, looked_up):
        gradient = lookup.gradient()
        if has_weights:
            factors = weight[0][lookup.rows].copy()
            of_weight = (gradient * arrays[0][lookup.rows]).sum(1, keepdims=True)
            adam(weight, lookup.rows, of_weight, decays=False)
            gradient = gradient * factors
        if has_moments:
            adam(arrays, lookup.rows, gradient)
    parameters = (Parameter * len(own))(
        *(
            Parameter(
                Arrays(*engine.arrays(arrays)),
                engine.array(gradient),
                gradient.size,
                DECAY,
                DECOUPLED_DECAY,
            )
            for arrays, gradient in own
        )
    )
    of_tables = (Table * len(looked_up))(
        *(
            lookup.table(engine, arrays if has_moments else arrays[:1], weight)
            for (arrays, lookup), weight in zip(looked_up, weights)
        )
    )
    constants = AdamConstants(RATE, BETA1, BETA2, EPSILON, RESCALE, PLAIN_RATE)
    call("adam_step", engine.api, None, parameters, len(own), of_tables, len(looked_up), constants)
    assert len(set(engine.written)) == 3 * (len(own) + (has_moments + has_weights) * len(looked_up))
    assert not set(engine.read) & set(engine.written)
    for _, lookup in looked_up:  # freed, because what is queued has copies
        del lookup.rows, lookup.starts, lookup.vectors, lookup.mean_weights
    engine.run()
    for (arrays, _), then in zip((*own, *looked_up), expected):
        np.testing.assert_allclose(arrays, then, rtol=1e-4, atol=1e-4)
    for arrays, then in zip(weights, of_weights):
        np.testing.assert_allclose(arrays, then, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("isa")
def test_a_parameter(size: int, engine: Engine, rng: np.random.Generator) -> None:
    step(engine, rng, (size,), [])


@pytest.mark.usefixtures("isa")
def test_many_parameters(engine: Engine, rng: np.random.Generator) -> None:
    step(engine, rng, SIZES, [])


@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
@pytest.mark.parametrize(
    "width",
    (*WIDTHS, GRADIENT_CHUNK - 1, GRADIENT_CHUNK, GRADIENT_CHUNK + 1, 2 * GRADIENT_CHUNK + 1),
)
@pytest.mark.usefixtures("isa")
def test_a_table(width: int, order: str, engine: Engine, rng: np.random.Generator) -> None:
    for counts in ([3], [1, 1], [40, 2], [0, 5], [5, 0]):
        for kind in ("rows", "both", "weights"):
            step(engine, rng, (), [(9, width, counts, order)], kind)


@pytest.mark.parametrize("width", [1, 33, 600])
@pytest.mark.usefixtures("isa")
def test_tables_that_several_threads_update(
    width: int, engine: Engine, rng: np.random.Generator
) -> None:
    many = ADAM_BLOCK // width * 3
    tables = [
        (many, width, [20, 30], "ascending"),
        (2, 5, [0, 0], "any"),
        (many, width, [1], "any"),
    ]
    for kind in ("rows", "both", "weights"):
        step(engine, rng, (ADAM_BLOCK + 1, 7), tables, kind)


def test_nothing_to_update(engine: Engine, rng: np.random.Generator) -> None:
    step(engine, rng, (), [])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.usefixtures("isa")
def test_catching_up(width: int, engine: Engine, rng: np.random.Generator) -> None:
    for vocab, order in ((1, "ascending"), (9, "any"), (ADAM_BLOCK // width * 3, "descending")):
        catch_up(engine, rng, vocab, width, order)


def catch_up(engine: Engine, rng: np.random.Generator, vocab: int, width: int, order: str) -> None:
    arrays = moments(rng, vocab, width)
    rows = rng.permutation(vocab)[: (vocab + 1) // 2 if order != "none" else 0]
    if order == "descending":
        rows = np.sort(rows)[::-1]
    given = exact(rows, np.int32)
    factors = exact(rng.uniform(0.1, 1, (5, len(rows))))
    weight, mean, variance = expected = [array.astype(float) for array in arrays]
    rate_sum, variance_scale, beta1_power, beta2_power, lost = factors.astype(float)[..., None]
    moved = rate_sum * mean[rows] / (np.sqrt(variance_scale * variance[rows]) + EPSILON)
    weight[rows] -= lost * weight[rows] + moved
    mean[rows] *= beta1_power
    variance[rows] *= beta2_power
    handles = Arrays(*engine.arrays(arrays))
    sizes = width, len(rows), given, factors, EPSILON
    call("catch_up", engine.api, None, handles, *sizes)
    assert engine.read == []
    assert engine.written == [handles.weight, handles.mean, handles.variance]
    del given, factors, sizes  # freed, because what is queued has copies
    engine.run()
    np.testing.assert_allclose(arrays, expected, rtol=1e-4, atol=1e-5)


def test_no_row_catches_up(engine: Engine, rng: np.random.Generator) -> None:
    catch_up(engine, rng, 5, 7, "none")
