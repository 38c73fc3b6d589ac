# SPDX-License-Identifier: Apache-2.0
"""One seed gives one model, bit for bit, whatever else the engine and the machine do meanwhile.

The trainings run beside a busy process, and the memory that MXNet's arrays get is full of NaN and
comes late at random (`disturbed_memory.c`): whoever asks for an array's memory before the engine
has worked on it, or reads what nobody wrote, is found out.

By hand: ``python tests/test_repeatability.py RUNS [FORM …]`` trains each form that often and prints
how many different models came out; with ``LD_PRELOAD`` set to the compiled disturbance, under it.
"""

from __future__ import annotations

import collections
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec.errors import CustomerError

FORMS: dict[str, dict[str, Any]] = {
    "pooled": {"enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"},
    "pooled relu row_sparse": {
        "enc0_network": "pooled_embedding",
        "token_embedding_storage_type": "row_sparse",
        "mlp_activation": "relu",
        "dropout": 0.2,
    },
    "pooled tied": {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": True},
    "pooled tied row_sparse": {
        "enc0_network": "pooled_embedding",
        "tied_token_embedding_weight": True,
        "token_embedding_storage_type": "row_sparse",
    },
    "pooled sgd": {"enc0_network": "pooled_embedding", "optimizer": "sgd"},
    "pooled weight_decay": {"enc0_network": "pooled_embedding", "weight_decay": 0.01},
    "hcnn": {"enc0_network": "hcnn", "enc0_layers": 2},
    "hcnn × pooled": {"enc0_network": "hcnn", "enc1_network": "pooled_embedding"},
    "bilstm": {"enc0_network": "bilstm", "enc0_layers": 2, "dropout": 0.2},
    "frozen": {"enc0_network": "hcnn", "enc1_network": "bilstm"},
    "two contexts": {"enc0_network": "pooled_embedding", "dropout": 0.2},
}
# Wide enough that the compiled part shares the work out to its threads.
WIDTHS = {"enc_dim": 64, "enc0_token_embedding_dim": 64, "mlp_dim": 64, "enc0_vocab_size": 300}
POOLED = [form for form in FORMS if form.startswith("pooled")]
OTHERS = [form for form in FORMS if form not in POOLED]


def model_of(form: str) -> str:
    """Train a form once; a digest of its parameters and of what training reported."""
    from small_jobs import arrays, random_pairs, settings

    from object2vec.backend.mxnet_import import mx
    from object2vec.pretrained.auxiliary_channel import Auxiliary, TokenVectors
    from object2vec.training.loop import train

    given = {**WIDTHS, **FORMS[form]}
    if "enc1_network" in given:
        given.update(enc1_vocab_size=300, enc1_max_seq_len=12, enc1_token_embedding_dim=64)
    vectors: Any = (None, None)
    if form == "frozen":
        given.update({f"enc{side}_pretrained_embedding_file": "given" for side in (0, 1)})
        table = np.random.default_rng(5).normal(0, 0.1, (300, 64)).astype(np.float32)
        vectors = (TokenVectors(table, np.ones(300, bool)),) * 2
    pairs = random_pairs(np.random.default_rng(4), 192, vocab=300)
    result = train(
        settings(**given, mini_batch_size=24, epochs=2, learning_rate=0.01),
        pairs,
        pairs.take(np.arange(40)),
        auxiliary=Auxiliary(vectors, (None, None)),
        contexts=[mx.cpu(0), mx.cpu(1)] if form == "two contexts" else None,
    )
    digest = hashlib.sha256(repr(result.history).encode())
    for name, values in arrays(result.predictor.network).items():
        assert np.isfinite(values).all(), name
        digest.update(values.tobytes())
    return digest.hexdigest()[:12]


@pytest.fixture(scope="module")
def disturbance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A busy process, and the variables of a process whose memory is disturbed."""
    library = tmp_path_factory.mktemp("disturbance") / "disturbed_memory.so"
    source = Path(__file__).with_name("disturbed_memory.c")
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", source, "-o", library, "-ldl"]
    subprocess.run(list(map(str, command)), check=True)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield {**os.environ, "LD_PRELOAD": str(library)}
        finally:
            busy.kill()


def check(forms: list[str], runs: int, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, __file__, str(runs), *forms],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert result.stdout == "".join(f"{form}: 1 model\n" for form in forms)


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("forms, runs", [(POOLED, 8), (OTHERS, 2)], ids=["pooled", "others"])
def test_one_seed_gives_one_model(
    forms: list[str], runs: int, threads: str, disturbance: dict[str, str]
) -> None:
    check(forms, runs, {**disturbance, "OMP_NUM_THREADS": threads})


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("form", FORMS)
def test_one_seed_gives_one_model_twenty_times(
    form: str, threads: str, disturbance: dict[str, str]
) -> None:
    check([form], 20, {**disturbance, "OMP_NUM_THREADS": threads})


@pytest.mark.slow
def test_one_seed_gives_one_model_without_threads_of_the_engine(
    disturbance: dict[str, str],
) -> None:
    check(list(FORMS), 2, {**disturbance, "MXNET_ENGINE_TYPE": "NaiveEngine"})


def main() -> None:
    runs, forms = int(sys.argv[1]), sys.argv[2:] or list(FORMS)
    for form in forms:
        models: collections.Counter[str] = collections.Counter()
        for _ in range(runs):
            try:
                models[model_of(form)] += 1
            except CustomerError as error:
                models[str(error)] += 1
        text = "1 model" if len(models) == 1 else f"{len(models)} models, {dict(models)}"
        print(f"{form}: {text}", flush=True)


if __name__ == "__main__":
    main()
