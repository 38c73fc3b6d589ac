# SPDX-License-Identifier: Apache-2.0
"""Models and predictors that travel: pickles, copies, processes that are spawned or forked."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import random_network, settings

from object2vec import Object2Vec
from object2vec.data.arrays import TokenLists
from object2vec.errors import (
    AlgorithmError,
    CustomerError,
    Object2VecError,
    PlatformError,
    UnsoundModelError,
)
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.parameter_files import write_parameters
from object2vec.pretrained.vocabularies import as_vocab
from tests.commands import BARE

KINDS: list[dict[str, Any]] = [
    {"enc0_network": "hcnn", "enc1_network": "bilstm", "num_classes": 3},
    {"enc0_network": "bilstm", "output_layer": "mean_squared_error", "comparator_list": "hadamard"},
    {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": True, "mlp_layers": 0},
]
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
SMALL: dict[str, Any] = {
    "enc0_max_seq_len": 4, "enc0_vocab_size": 20, "enc0_network": "pooled_embedding",
    "enc_dim": 8, "mlp_dim": 4, "epochs": 2, "seed": 3,
}  # fmt: skip
PAIRS = [{"in0": [a, b], "in1": [b], "label": int(a > b)} for a in range(8) for b in range(8)]


class Ratings(Object2Vec):
    """A subclass with a parameter and an attribute of its own."""

    def __init__(self, *, stars: int = 5, **others: Any) -> None:
        super().__init__(**others)
        self.stars = stars
        self.note = ["mine"]


class Named(Predictor):
    """A predictor with an attribute of its own."""

    name = ""


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    return Ratings(**SMALL, stars=3).fit(PAIRS, PAIRS[:20])


def through(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


def predictor_of(kind: dict[str, Any], rng: np.random.Generator, **more: Any) -> Predictor:
    return Predictor(random_network(settings(**kind), rng), **more)


def answers(predictor: Predictor) -> list[bytes]:
    lists = TokenLists.from_lists([[1, 2, 3], [0], [], [22] * 12])
    values = [predictor.embeddings(side, lists) for side in (0, 1)]
    return [value.tobytes() for value in (*values, predictor.scores(lists, lists))]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["enc0_network"])
def test_a_predictor_answers_the_same_bits(
    kind: dict[str, Any], protocol: int, rng: np.random.Generator
) -> None:
    before = predictor_of(kind, rng, metrics={"best_epoch": 2})
    after = through(before, protocol)
    assert type(after) is Predictor
    assert after.hyperparameters == before.hyperparameters
    assert after.metrics == {"best_epoch": 2} and after.complete
    assert answers(after) == answers(before) == answers(through(after))


def test_copies_are_deep_and_answer_the_same_bits(model: Object2Vec) -> None:
    twin = copy.deepcopy(model)
    assert twin._predictor is not model._predictor
    assert twin.predict(PAIRS).tobytes() == model.predict(PAIRS).tobytes()
    twin.history.clear()
    assert model.history
    assert copy.copy(model)._predictor is model._predictor


def test_all_of_a_model_travels(model: Object2Vec, tmp_path: Path) -> None:
    after = through(model)
    assert type(after) is Ratings and after.stars == 3 and after.note == ["mine"]
    assert after.get_params() == model.get_params()
    assert after.hyperparameters == model.hyperparameters
    assert after.history == model.history and after._metrics == model._metrics
    after.save(tmp_path)
    assert Object2Vec.load(tmp_path).history == model.history
    assert after.fit(PAIRS, PAIRS[:20]).predict(PAIRS).tobytes() == model.predict(PAIRS).tobytes()


def test_a_model_that_was_never_saved_complete_stays_so(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    model_directory.save_model(tmp_path / "a", random_network(settings(), rng), complete=False)
    for loaded in (Object2Vec.load(tmp_path / "a"), through(Object2Vec.load(tmp_path / "a"))):
        loaded.save(tmp_path / "b")
        assert not model_directory.load_model(tmp_path / "b").complete
    assert not through(Predictor.load(tmp_path / "a")).complete


def test_vocabularies_travel(rng: np.random.Generator) -> None:
    vocabulary = as_vocab({f"wörd {token}": token for token in range(23)})
    after = through(predictor_of({}, rng, vocabularies=(vocabulary, None)))
    assert after.vocabularies[0].idx_to_token == vocabulary.idx_to_token
    assert after.vocabularies[1] is None


def test_a_subclass_of_a_predictor_is_kept(rng: np.random.Generator) -> None:
    before = Named(random_network(settings(), rng))
    before.name = "mine"
    after = through(before)
    assert type(after) is Named and after.name == "mine"
    assert answers(after) == answers(before)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_estimators_that_are_not_fitted_travel(protocol: int) -> None:
    given: dict[str, Any] = {
        **SMALL,
        "enc_dim": np.int64(16),
        "dropout": np.float32(0.5),
        "tied_token_embedding_weight": np.bool_(True),
        "comparator_list": np.array(["hadamard", "concat"]),
        "enc0_network": np.str_("hcnn"),
    }
    before = Ratings(**given)
    after = through(before, protocol)
    assert type(after) is Ratings and after.best_epoch is None
    assert after.hyperparameters == before.hyperparameters
    assert type(after.get_params()["enc_dim"]) is np.int64


def test_weights_that_are_not_finite_do_not_travel(rng: np.random.Generator) -> None:
    broken = predictor_of({}, rng)
    broken.network.params["mlp_fc0_bias"].data()[1] = float("nan")
    with pytest.raises(CustomerError, match=r"mlp_fc0_bias in .*holds NaN or infinity"):
        pickle.dumps(broken)


def test_the_parameter_file_is_that_of_mxnet(rng: np.random.Generator, tmp_path: Path) -> None:
    from object2vec.backend.mxnet_import import mx

    network = random_network(settings(enc1_network="bilstm", enc0_vocab_size=70_000), rng)
    values = {name: parameter.data() for name, parameter in network.params.items()}
    mx.nd.save(str(tmp_path / "file"), {f"arg:{name}": value for name, value in values.items()})
    stream = io.BytesIO()
    arrays = {name: value.asnumpy() for name, value in values.items()}
    write_parameters(
        stream, {name: (array.shape, np.array_split(array, 3)) for name, array in arrays.items()}
    )
    assert stream.getvalue() == (tmp_path / "file").read_bytes()
    (packed,) = (
        content
        for name, content in model_directory.pack_model(network).items()
        if name.startswith("parameters")
    )
    assert packed == stream.getvalue()


def test_what_a_pickle_holds_is_what_saving_writes(model: Object2Vec, tmp_path: Path) -> None:
    model.save(tmp_path)
    function, (files, device), _ = model._predictor.__reduce__()
    assert (function, device) == (Predictor.unpacked, ("cpu", 0))
    names = {name.split("-")[0] for name in files}
    assert names == {path.name.split("-")[0] for path in tmp_path.iterdir()}
    for name in files:
        if name.startswith(("parameters", "hyperparameters")):
            assert (tmp_path / name).read_bytes() == files[name]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["enc0_network"])
def test_one_model_gives_the_same_pickle_each_time(
    kind: dict[str, Any], rng: np.random.Generator
) -> None:
    """Caches tell models apart by it."""
    predictor = predictor_of(kind, rng)
    first = pickle.dumps(predictor)
    assert pickle.dumps(predictor) == first == pickle.dumps(pickle.loads(first))


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "none", "type"])
def test_damaged_contents_are_refused(damage: str, rng: np.random.Generator) -> None:
    _, (files, device), _ = predictor_of({}, rng).__reduce__()
    name = next(name for name in files if name.startswith("parameters"))
    content = bytearray(files[name])
    content[-400] ^= 1
    changed = {"bit": bytes(content), "cut": files[name][:-1], "type": 7}
    if damage == "none":
        files.clear()
    elif damage == "gone":
        del files[name]
    else:
        files[name] = changed[damage]
    with pytest.raises(CustomerError, match=r"the pickled model/[\w.-]+ ") as caught:
        Predictor.unpacked(files, device)
    assert "\n" not in str(caught.value)


def test_no_file_is_written(
    model: Object2Vec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder for temporary files may be full or read-only: none is needed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    written: list[Any] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        is_open = event == "open" and arguments[1] not in ("r", "rb", None)
        if watching and (is_open or event in ("tempfile.mkstemp", "tempfile.mkdtemp", "os.mkdir")):
            written.append((event, arguments))

    watching = True
    sys.addaudithook(note)
    try:
        through(model), copy.deepcopy(model)
    finally:
        watching = False
    assert written == []


_READER = """
import os, pickle, sys
data, before = sys.stdin.buffer.read(), dict(os.environ)
model = pickle.loads(data)
assert dict(os.environ) == before
sys.stdout.buffer.write(b"%r" % (model.embeddings if hasattr(model, "embeddings") else model))
"""


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("of", ["model", "predictor"])
def test_another_process_reads_it_and_stays_as_it_was(of: str, tmp_path: Path) -> None:
    plain = Object2Vec(**SMALL).fit(PAIRS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE + _READER],
        input=pickle.dumps(plain if of == "model" else plain._predictor),
        cwd=tmp_path, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Predictor" in done.stdout or done.stdout.startswith(b"Object2Vec(")


_the_model: list[Any] = []


def _keep(model: Any) -> None:
    _the_model.append(model)


def _predict(part: list[dict[str, Any]]) -> np.ndarray:
    return _the_model[-1].predict(part)


def _predict_with(model: Any, part: list[dict[str, Any]]) -> tuple[Any, np.ndarray]:
    return model, model.predict(part)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_pools_of_processes(method: str, model: Object2Vec) -> None:
    plain = Object2Vec(**SMALL).fit(PAIRS)
    parts = [PAIRS[:30], PAIRS[30:]]
    context = multiprocessing.get_context(method)
    with context.Pool(2, initializer=_keep, initargs=(plain,)) as pool:
        kept = pool.map(_predict, parts)
        sent = pool.starmap(_predict_with, [(plain, part) for part in parts])
        pool.close()
        pool.join()
    expected = plain.predict(PAIRS).tobytes()
    assert np.concatenate(kept).tobytes() == expected
    assert np.concatenate([scores for _, scores in sent]).tobytes() == expected
    assert sent[0][0].predict(PAIRS).tobytes() == expected


def test_threads_at_once(model: Object2Vec) -> None:
    """Copies are made while other threads ask the model, and while others copy it."""
    expected, ends = model.predict(PAIRS).tobytes(), threading.Event()

    def ask() -> int:
        count = 0
        while not ends.is_set():
            assert model.predict(PAIRS).tobytes() == expected
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for make in (copy.deepcopy, through):
                for twin in pool.map(make, [model] * 12):
                    assert twin.predict(PAIRS).tobytes() == expected
        finally:
            ends.set()
        assert all(future.result() for future in asking)


_PEAK = """
import pickle, resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from small_jobs import random_network, settings
from object2vec.inference.predictor import Predictor

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

network = random_network(
    settings(enc0_network="pooled_embedding", tied_token_embedding_weight=True),
    np.random.default_rng(0),
)
pickle.loads(pickle.dumps(Predictor(network)))
del network
size = 200
hyperparameters = settings(
    enc0_network="pooled_embedding", enc0_vocab_size=size * (1 << 20) // 400, enc_dim=100,
    tied_token_embedding_weight=True,
)
from object2vec.model.network import Object2VecNetwork
from object2vec.backend.mxnet_import import mx
network = Object2VecNetwork(hyperparameters)
for parameter in network.params.values():
    parameter.grad_req = "null"
    parameter.initialize(mx.init.One(), ctx=mx.cpu(0), force_reinit=True)
mx.nd.waitall()
model = Predictor(network)
begin = peak()
data = pickle.dumps(model)
written = peak()
twin = pickle.loads(data)
print((written - begin) / size, (peak() - written) / size)
"""


@pytest.mark.slow
def test_memory_that_pickling_takes() -> None:
    """Writing takes two copies at most beside the model, reading two more, itself among them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE + _PEAK, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    writing, reading = map(float, done.stdout.split())
    assert writing < 2.6 and reading < 2.3, done.stdout


@pytest.mark.parametrize("kind", [CustomerError, UnsoundModelError, PlatformError, AlgorithmError])
def test_errors_travel(kind: type[Object2VecError]) -> None:
    """A pool of processes hands them back to who asked."""
    error = through(kind("The model\x1b is not sound."))
    assert type(error) is kind and str(error) == "The model\\x1b is not sound."


@pytest.mark.slow
def test_joblib(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    plain = Object2Vec(**SMALL).fit(PAIRS)
    expected = plain.predict(PAIRS).tobytes()
    # processes of joblib's own, which get the model by cloudpickle
    scores = joblib.Parallel(n_jobs=2)(joblib.delayed(plain.predict)(PAIRS) for _ in range(3))
    assert [value.tobytes() for value in scores] == [expected] * 3
    for options in ({}, {"compress": 3}, {"protocol": 2}):
        joblib.dump(plain, tmp_path / "model.joblib", **options)
        assert joblib.load(tmp_path / "model.joblib").predict(PAIRS).tobytes() == expected
    with pytest.raises(CustomerError, match="instance 0"):
        joblib.Parallel(n_jobs=2)([joblib.delayed(plain.embed)(in0=[[99]])])
