# SPDX-License-Identifier: Apache-2.0
"""A model that was dropped is freed, however many a process trains and loads."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import random_lists, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.inference.predictor import Predictor
from object2vec.model.model_directory import save_model
from object2vec.training.loop import train
from tests.commands import BARE

NETWORKS = ["hcnn", "bilstm", "pooled_embedding"]
USED = """
import ctypes, gc

def used():
    \"\"\"Megabytes.\"\"\"
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
"""
# Ends with what each four models add, fitted and loaded.
MODELS = """
import logging, sys, tempfile
from object2vec import Object2Vec

logging.disable(logging.CRITICAL)
network, enc_dim = sys.argv[1], int(sys.argv[2])
rows = [{"in0": [a, b], "in1": [b], "label": int(a == b)} for a in range(6) for b in range(6)]

def fitted():
    model = Object2Vec(
        enc0_max_seq_len=3, enc0_vocab_size=6, enc0_network=network, enc0_token_embedding_dim=8,
        enc_dim=enc_dim, mlp_dim=256, epochs=1, mini_batch_size=18,
    )
    return model.fit(rows)

def added(make):
    sizes = []
    for _ in range(16):
        model = make()
        model.embed(in0=[[1]])
        model.predict(rows[:2])
        del model
        sizes.append(used())
    # a thread may free its arrays a little later: what models hold is in each of four sizes
    held = [min(sizes[start : start + 4]) for start in range(0, 16, 4)]
    return [after - before for before, after in zip(held, held[1:])]

with tempfile.TemporaryDirectory() as folder:
    fitted().save(folder)
    print(*added(fitted), *added(lambda: Object2Vec.load(folder)))
"""
# Ends with what each hundred steps add.
STEPS = """
import json, sys
import numpy as np
from small_jobs import batch_of, mx, random_network, random_pairs, settings, training_way

given, rng = settings(**json.loads(sys.argv[2])), np.random.default_rng(1)
network = random_network(given, rng)
network.hybridize()
way = training_way(sys.argv[1], given, network)
pairs = random_pairs(rng, 12, shortest=1)
batch = batch_of(pairs, hyperparameters=given)
sizes = []
for _ in range(5):
    for _ in range(100):
        way.step(way.prepare(batch))
    mx.nd.waitall()
    sizes.append(used())
print(*(after - before for before, after in zip(sizes, sizes[1:])))
"""
# Ends with what the last thousand of batches of random shapes add.
SHAPES = """
import sys
import numpy as np
from small_jobs import mx, random_lists, random_network, settings
from object2vec.model.encoder_inputs import embed

rng = np.random.default_rng(int(sys.argv[2]))
network = random_network(
    settings(enc0_network=sys.argv[1], enc_dim=64, enc0_token_embedding_dim=48), rng
)
network.hybridize()
sizes = []
for _ in range(5):
    for _ in range(500):
        lists = random_lists(rng, int(rng.integers(1, 64)), longest=int(rng.integers(1, 40)))
        width = int(lists.lengths.max(initial=1))
        with mx.autograd.record():
            vectors = embed(network, 0, lists, mx.cpu(0), width)
        vectors.backward()
    mx.nd.waitall()
    sizes.append(used())
print(sizes[4] - sizes[2])
"""


def megabytes(program: str, *arguments: object) -> list[float]:
    """What a program prints, which runs alone: other tests' threads free memory too."""
    done = subprocess.run(
        [sys.executable, "-c", BARE + USED + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("network", NETWORKS)
def test_nothing_holds_a_network_that_was_dropped(
    network: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    def dropped(predictor: Predictor) -> list[weakref.ref[Any]]:
        predictor.scores(random_lists(rng, 2), random_lists(rng, 2))
        predictor.embeddings(0, random_lists(rng, 2))
        own = predictor.network
        return [weakref.ref(one) for one in (own, *own.encoders, own.scorer, *own.params.values())]

    given = settings(enc0_network=network, epochs=1)
    trained = train(given, random_pairs(rng, 20)).predictor
    save_model(tmp_path, trained.network)
    references = [*dropped(trained), *dropped(Predictor.load(tmp_path))]
    del trained
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def optimizers() -> int:
    gc.collect()
    kinds = mx.gluon.Trainer, mx.optimizer.Optimizer
    return sum(issubclass(type(one), kinds) for one in gc.get_objects())


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_a_trained_model_does_not_hold_its_optimizer(
    optimizer: str, rng: np.random.Generator
) -> None:
    """Adam's moments are twice the model."""
    before = optimizers()
    given = settings(enc0_network="pooled_embedding", optimizer=optimizer, epochs=1)
    trained = train(given, random_pairs(rng, 20)).predictor
    assert optimizers() == before
    assert len(trained.scores(random_lists(rng, 2), random_lists(rng, 2))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "enc_dim"), [("pooled_embedding", 4096), ("hcnn", 1024), ("bilstm", 512)]
)
def test_memory_stays_what_it_is_from_model_to_model(network: str, enc_dim: int) -> None:
    added = megabytes(MODELS, network, enc_dim)
    # Four models have 16 MB or more, each time; MXNet keeps what an operator needs, but once.
    assert min(added[:3]) < 8, added
    assert min(added[3:]) < 8, added


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"enc0_network": "hcnn", "enc0_layers": 3, "enc_dim": 9},
        {"enc0_network": "hcnn", "enc0_layers": 3, "enc_dim": 8, "dropout": 0.2},
        {"enc0_network": "bilstm", "enc0_layers": 2, "enc_dim": 8},
        {"enc0_network": "bilstm", "enc0_layers": 2, "enc_dim": 9},
        {"enc0_network": "pooled_embedding", "class_weights": "1,2"},
        {"enc0_network": "pooled_embedding", "scorer": "cosine"},
        {"enc0_network": "pooled_embedding", "optimizer": "adagrad"},
    ],
    ids=["hcnn", "uneven hcnn", "bilstm", "odd bilstm", "classes", "cosine", "adagrad"],
)
@pytest.mark.parametrize("way", ["compiled", "operators"])
def test_a_step_keeps_no_memory(way: str, given: dict[str, Any]) -> None:
    """F.concat's gradient kept 1 KB an array: gigabytes in a long training."""
    added = megabytes(STEPS, way, json.dumps(given))
    assert min(added) < 0.09, added


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["hcnn", "bilstm"])
def test_no_memory_for_each_shape(encoder: str, rng: np.random.Generator) -> None:
    """Memory settles although every batch has its own shape."""
    (added,) = megabytes(SHAPES, encoder, rng.integers(1000))
    assert added < 30
