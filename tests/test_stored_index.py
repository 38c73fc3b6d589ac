# SPDX-License-Identifier: Apache-2.0
"""An index in a model directory: it travels with the model, and nothing unsound is loaded."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_models import manifest_of, write_manifest
from small_jobs import random_network, settings

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.inference.predictor import Predictor
from object2vec.model.array_files import array_head
from object2vec.model.model_directory import save_model
from object2vec.model.model_files import check_model
from object2vec.model.stored_index import Cells, StoredIndex

COUNT, WIDTH = 5, 8


def index_of(rng: np.random.Generator, side: str = "in1") -> StoredIndex:
    vectors = rng.normal(size=(COUNT, WIDTH)).astype(np.float32)
    lists = TokenLists.from_lists([[1], [2, 3], [], [4], [5]])
    cells = Cells(
        rng.normal(size=(2, WIDTH)).astype(np.float32),
        np.array([0, 1, 1, 0, 0], np.int32), probes=1, recall=0.96,
        codebook=rng.normal(size=(3, 16, 3)).astype(np.float32),
    )  # fmt: skip
    names = ("Alien", "Ein Märchen, 愛と死", '"},{"', "", "two\nlines")
    return StoredIndex(side, names, lists, vectors, "dot", {side: cells})


def saved(folder: Path, rng: np.random.Generator) -> StoredIndex:
    index = index_of(rng)
    save_model(folder, random_network(settings(), rng), indexes={"in1": index})
    return index


def same(first: StoredIndex, second: StoredIndex) -> bool:
    assert (first.side, first.names, first.metric) == (second.side, second.names, second.metric)
    assert first.cells.keys() == second.cells.keys()
    for asked, cells in first.cells.items():
        other = second.cells[asked]
        assert (cells.probes, cells.recall) == (other.probes, other.recall)
        assert np.array_equal(cells.centroids, other.centroids)
        assert np.array_equal(cells.codebook, other.codebook)
        assert np.array_equal(cells.of_objects, other.of_objects)
    return (
        np.array_equal(first.vectors, second.vectors)
        and np.array_equal(first.lists.tokens, second.lists.tokens)
        and np.array_equal(first.lists.offsets, second.lists.offsets)
    )


def test_it_travels_with_the_model(tmp_path: Path, rng: np.random.Generator) -> None:
    index = saved(tmp_path / "model", rng)
    check_model(tmp_path / "model")
    loaded = Predictor.load(tmp_path / "model")
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "model", ".")
    ways = (
        loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded), Predictor.load(archive)
    )  # fmt: skip
    for predictor in ways:
        assert list(predictor.indexes) == ["in1"] and same(predictor.indexes["in1"], index)
    # a model without takes its place, and leaves none of its files
    save_model(tmp_path / "model", loaded.network)
    assert not list((tmp_path / "model").glob("*.npy"))
    assert not list((tmp_path / "model").glob("index*"))
    assert Predictor.load(tmp_path / "model").indexes == {}


def test_numpy_reads_its_arrays(tmp_path: Path, rng: np.random.Generator) -> None:
    index = saved(tmp_path, rng)
    (vectors,) = tmp_path.glob("vectors1-*.npy")
    assert np.array_equal(np.load(vectors, allow_pickle=False), index.vectors)
    (cells,) = tmp_path.glob("cells1-*.npy")
    assert np.load(cells).tolist() == [0, 1, 1, 0, 0]


def test_models_without_one_are_what_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    network = random_network(settings(), rng)
    save_model(tmp_path, network, indexes={})
    assert "indexes" not in manifest_of(tmp_path)


def put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and make size and SHA-256 right, as whoever makes the folder can."""
    (folder / name).write_bytes(content)
    manifest = manifest_of(folder)
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"][name] = {"bytes": len(content), "sha256": digest}
    write_manifest(folder, manifest)


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the JSON of the index."""
    name = manifest_of(folder)["indexes"]["in1"]
    values = json.loads((folder / name).read_text())
    edit(values)
    put(folder, name, json.dumps(values).encode())


def array_named(folder: Path, stem: str) -> str:
    (path,) = folder.glob(f"{stem}1-*.npy")
    return path.name


def head_of_another(folder: Path) -> None:
    name = array_named(folder, "vectors")
    content = (folder / name).read_bytes()
    put(folder, name, content.replace(b"False", b"True "))


def with_elements(stem: str, elements: np.ndarray) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        dtype = "<f4" if elements.dtype.kind == "f" else "<i4"
        head = array_head(dtype, elements.shape)
        put(folder, array_named(folder, stem), head + elements.tobytes())

    return apply


def editing(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: change(folder, edit)


def cells_with(**given: Any) -> Callable[[Path], None]:
    return editing(lambda values: values["cells"]["in1"].update(given))


def of_manifest(**given: Any) -> Callable[[Path], None]:
    return lambda folder: write_manifest(folder, {**manifest_of(folder), **given})


def pickled(folder: Path) -> None:
    put(folder, array_named(folder, "vectors"), pickle.dumps("harm"))


FULL = np.zeros((COUNT, WIDTH), np.float32)
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no list of sides": (of_manifest(indexes=["in1"]), "'indexes'"),
    "another side": (of_manifest(indexes={"in2": "x"}), "in0 or in1"),
    "a file that is not listed": (of_manifest(indexes={"in1": "../x"}), "listed in 'files'"),
    "no object": (
        lambda folder: put(folder, manifest_of(folder)["indexes"]["in1"], b"[]"), "an object"
    ),
    "no JSON": (
        lambda folder: put(folder, manifest_of(folder)["indexes"]["in1"], b"{"), "as JSON"
    ),
    "of the other side": (editing(lambda v: v.update(side="in0")), "'side'"),
    "a metric": (editing(lambda v: v.update(metric=["cosine"])), "one of cosine, dot, euclidean"),
    "no objects": (editing(lambda v: v.update(objects=0)), "'objects'"),
    "more than there are": (editing(lambda v: v.update(objects=10**9)), "'objects'"),
    "another number": (editing(lambda v: v.update(objects=COUNT + 1)), "'names'"),
    "a name less": (editing(lambda v: v["names"].pop()), "'names'"),
    "names that are none": (editing(lambda v: v.update(names=[1] * COUNT)), "'names'"),
    "half a character": (
        editing(lambda v: v.update(names=["\ud800"] * COUNT)), "half a character"
    ),
    "tokens by another number": (editing(lambda v: v.update(tokens=2**40)), "'tokens'"),
    "no name of an array": (editing(lambda v: v.update(vectors_file=3)), "'vectors_file'"),
    "an array that is not listed": (
        editing(lambda v: v.update(vectors_file="other.npy")), "does not list 'other.npy'"
    ),
    "an array that is another file": (
        editing(lambda v: v.update(vectors_file=v["tokens_file"])), "no array of the type <f4"
    ),
    "another head": (head_of_another, "no array of the type <f4"),
    "a pickle": (pickled, "no array of the type <f4"),
    "a larger array": (
        with_elements("vectors", np.zeros((COUNT + 1, WIDTH), np.float32)), "no array of the type"
    ),
    "another width": (
        with_elements("vectors", np.zeros((COUNT, WIDTH - 1), np.float32)), "no array of the type"
    ),
    "NaN": (with_elements("vectors", FULL * np.nan), "NaN or infinity"),
    "infinity": (with_elements("vectors", FULL + np.inf), "NaN or infinity"),
    "a token too large": (
        with_elements("tokens", np.full(5, 10**6, np.int32)), "the tokens"
    ),
    "a token below zero": (with_elements("tokens", np.full(5, -1, np.int32)), "the tokens"),
    "lengths of another sum": (with_elements("lengths", np.ones(5, np.int32) * 2), "the lengths"),
    "lengths that are too long": (
        with_elements("lengths", np.array([1000, -995, 0, 0, 0], np.int32)), "the lengths"
    ),
    "a cell that is none": (with_elements("cells", np.full(5, 2, np.int32)), "the cells of"),
    "a cell below zero": (with_elements("cells", np.full(5, -1, np.int32)), "the cells of"),
    "centroids of NaN": (
        with_elements("centroids", np.full((2, WIDTH), np.nan, np.float32)), "NaN or infinity"
    ),
    "cells for another side": (
        editing(lambda v: v.update(cells={"in2": v["cells"]["in1"]})), "in0 or in1"
    ),
    "more cells than objects": (cells_with(count=COUNT + 1), "'count'"),
    "a width beyond": (cells_with(width=WIDTH + 3), "'width'"),
    "no probes": (cells_with(probes=0), "'probes'"),
    "more probes than cells": (cells_with(probes=3), "'probes'"),
    "no parts": (cells_with(parts=0), "'parts'"),
    "parts that are too narrow": (cells_with(part_width=2), "'part_width'"),
    "parts that are too wide": (cells_with(part_width=10**9), "'part_width'"),
    "a codebook of another shape": (cells_with(parts=4), "no array of the type <f4"),
    "a codebook of infinity": (
        with_elements("codebook", np.full((3, 16, 3), np.inf, np.float32)), "NaN or infinity"
    ),
    "a recall beyond": (cells_with(recall=1.5), "'recall'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_sound_is_refused(fault: str, tmp_path: Path, rng: np.random.Generator) -> None:
    saved(tmp_path, rng)
    apply, words = FAULTS[fault]
    apply(tmp_path)
    with pytest.raises(CustomerError) as caught:
        Predictor.load(tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_changed_array_is_found(tmp_path: Path, rng: np.random.Generator) -> None:
    saved(tmp_path, rng)
    path = tmp_path / array_named(tmp_path, "vectors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CustomerError, match=r"vectors1-.*SHA-256 differs"):
        Predictor.load(tmp_path)


def test_heads_are_checked_before_a_model_is_loaded(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    saved(tmp_path, rng)
    head_of_another(tmp_path)
    with pytest.raises(CustomerError, match="no array of the type"):
        check_model(tmp_path)


def test_no_memory_is_taken_for_what_a_file_does_not_hold(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """An index may say 100 million objects, and its small files are not believed."""
    saved(tmp_path, rng)
    change(tmp_path, lambda values: values.update(objects=10**8, names=["x"] * 3))
    with pytest.raises(CustomerError, match="'names'"):
        Predictor.load(tmp_path)
