# SPDX-License-Identifier: Apache-2.0
"""Graphs of ONNX give in onnxruntime what the model gives, whatever its encoders and heads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from small_jobs import NETWORKS, random_lists, random_network, settings

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import pad
from object2vec.errors import CustomerError, PlatformError
from object2vec.export import onnx_files
from object2vec.export.onnx_files import onnx_target, write_onnx
from object2vec.inference.predictor import Predictor

NAMES = (("source", "source_length"), ("target", "target_length"))
POOLED = {"enc0_network": "pooled_embedding"}
CASES: dict[str, dict[str, Any]] = {
    **{f"network {n}": case for n, case in enumerate(NETWORKS)},
    "three convolutions of an even width": {
        "enc0_network": "hcnn", "enc0_layers": 3, "enc0_cnn_filter_width": 4, "enc_dim": 11},
    "filters of one token": {"enc0_network": "hcnn", "enc0_cnn_filter_width": 1, "enc_dim": 5},
    "filters that are wider than lists": {"enc0_network": "hcnn", "enc0_cnn_filter_width": 9},
    "three bilstms, odd": {"enc0_network": "bilstm", "enc0_layers": 3, "enc_dim": 9},
    "tied bilstm": {"enc0_network": "bilstm", "tied_encoders": True},
    "tied hcnn": {"enc0_network": "hcnn", "tied_encoders": True},
    "hadamard alone": {**POOLED, "comparator_list": "hadamard", "mlp_layers": 0},
    "abs_diff, concat": {**POOLED, "comparator_list": "abs_diff, concat", "mlp_activation": "relu"},
    "tanh, three layers": {**POOLED, "mlp_layers": 3, "mlp_activation": "tanh", "num_classes": 5},
    "dropout": {"enc0_network": "hcnn", "dropout": 0.5, "mlp_activation": "relu"},
    "a number": {**POOLED, "output_layer": "mean_squared_error"},
    "several labels": {**POOLED, "output_layer": "multi_label", "num_classes": 4},
    "token weights": {**POOLED, "token_weighting": "learned"},
    **{
        f"{scorer}, {layer}": {**POOLED, "scorer": scorer, "output_layer": layer}
        for scorer in ("dot", "cosine")
        for layer in ("softmax", "mean_squared_error", "in_batch_softmax")
    },
    "ensemble": {
        **POOLED, "scorer": "dot", "output_layer": "mean_squared_error", "ensemble_size": 4,
        "enc_dim": 8},
    "a learnt temperature": {
        **POOLED, "scorer": "cosine", "output_layer": "in_batch_softmax",
        "learn_temperature": True},
}  # fmt: skip


def answers(path: Path, name: str, sides: dict[int, TokenLists], wider: int = 0) -> np.ndarray:
    """What onnxruntime computes for lists that are padded, `wider` beyond the longest one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {}
    for side, lists in sides.items():
        width = max(1, int(lists.lengths.max(initial=0))) + wider
        tokens = pad(lists, width).astype(np.int64)
        # what stands behind a list is of no matter
        tokens[np.arange(width) >= lists.lengths[:, None]] = -7
        given.update(zip(NAMES[side], (tokens, lists.lengths)))
    assert [output.name for output in session.get_outputs()] == [name]
    (found,) = session.run([name], given)
    return np.asarray(found)


@pytest.mark.parametrize("name", CASES)
def test_graphs_compute_what_the_model_does(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    network = random_network(settings(**CASES[name]), rng)
    predictor = Predictor(network)
    written = write_onnx(network, onnx_target(tmp_path))
    assert sorted(path.name for path in written) == ["enc0.onnx", "enc1.onnx", "scores.onnx"]
    for path in written:
        onnx.checker.check_model(path, full_check=True)
    in0, in1 = (random_lists(rng, 13) for _ in range(2))
    assert 0 in in0.lengths
    for wider, rows in ((0, slice(None)), (5, slice(2, 5)), (0, slice(0, 1))):
        part = {0: in0.take(rows), 1: in1.take(rows)}
        for side in (0, 1):
            found = answers(tmp_path / f"enc{side}.onnx", f"enc{side}", {side: part[side]}, wider)
            expected = predictor.embeddings(side, part[side])
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        found = answers(tmp_path / "scores.onnx", "scores", part, wider)
        expected = predictor.scores(part[0], part[1])
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_weights_stand_in_one_file_that_graphs_share(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    network = random_network(settings(**NETWORKS[2]), rng)
    write_onnx(network, onnx_target(tmp_path / "within"))
    written = write_onnx(network, onnx_target(tmp_path / "apart"), external_data=True)
    assert [path.name for path in written] == [
        "enc0.onnx", "enc1.onnx", "scores.onnx", "weights.data",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path / "apart")) == sorted(path.name for path in written)
    lists = random_lists(rng, 6)
    for name, sides in (("enc1", {1: lists}), ("scores", {0: lists, 1: lists})):
        found = answers(tmp_path / "apart" / f"{name}.onnx", name, sides)
        expected = answers(tmp_path / "within" / f"{name}.onnx", name, sides)
        np.testing.assert_array_equal(found, expected)
        onnx.checker.check_model(tmp_path / "apart" / f"{name}.onnx")
    sizes = [4 * value.data().size for value in network.params.values()]
    # each once, from a page's start
    assert 0 <= written[-1].stat().st_size - sum(sizes) < 4096 * len(sizes)


def test_a_single_graph_is_a_file(tmp_path: Path, rng: np.random.Generator) -> None:
    network = random_network(settings(**POOLED), rng)
    lists = random_lists(rng, 4)
    (path,) = write_onnx(network, onnx_target(tmp_path / "films.onnx", "enc1"))
    found = answers(path, "enc1", {1: lists})
    np.testing.assert_allclose(found, Predictor(network).embeddings(1, lists), atol=1e-6)
    path, data = write_onnx(network, onnx_target(tmp_path / "s.onnx"), external_data=True)
    assert (path.name, data.name) == ("s.onnx", "s.onnx.data")
    assert answers(path, "scores", {0: lists, 1: lists}).shape == (4, 2)


def test_weights_that_no_file_holds_go_beside_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "_MOST_WITHIN", 1000)
    network = random_network(settings(**POOLED), rng)
    assert len(write_onnx(network, onnx_target(tmp_path / "s.onnx"))) == 2
    with pytest.raises(CustomerError, match="let them stand in a file of their own"):
        write_onnx(network, onnx_target(tmp_path / "within.onnx"), external_data=False)
    assert sorted(os.listdir(tmp_path)) == ["s.onnx", "s.onnx.data"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Object2Vec, Path]:
    """Learns a weight for each token; its model directory."""
    rows = [{"a": f"w{n % 7} w{n % 3}", "b": f"w{n % 5}", "label": n % 2} for n in range(60)]
    model = Object2Vec(enc_dim=6, epochs=2, seed=1, token_weighting="tfidf", mini_batch_size=20)
    model.fit(rows, in0={"name": "a", "kind": "text"}, in1={"name": "b", "kind": "text"},
              label="label", label_kind="class")  # fmt: skip
    folder = tmp_path_factory.mktemp("trained") / "model"
    model.save(folder)
    return model, folder


def test_a_trained_model_answers_by_ids_as_by_raw_values(
    trained: tuple[Object2Vec, Path], tmp_path: Path
) -> None:
    model, _ = trained
    model.to_onnx(tmp_path / "scores.onnx")
    assert model.inputs is not None
    words, _ = model.inputs.words("in0")
    others, _ = model.inputs.words("in1")
    texts = [("w1 w2", "w3"), ("w6", "w0")]
    lists = [
        TokenLists.from_lists([[known[word] for word in pair[side].split()] for pair in texts])
        for side, known in enumerate((words, others))
    ]
    found = answers(tmp_path / "scores.onnx", "scores", dict(enumerate(lists)))
    np.testing.assert_allclose(found, model.predict(texts), rtol=1e-5, atol=1e-6)


def test_the_command_writes_a_folder(
    trained: tuple[Object2Vec, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = trained
    target = tmp_path / "new" / "graphs"
    assert main(["export", "--model-dir", str(folder), "--onnx", str(target)]) == 0
    written = ", ".join(f"{target}/{name}.onnx" for name in ("enc0", "enc1", "scores"))
    assert capsys.readouterr().err == f"Wrote {written}.\n"
    lists = TokenLists.from_lists([[1, 2], [3]])
    found = answers(target / "enc0.onnx", "enc0", {0: lists})
    np.testing.assert_allclose(found, model.embed(in0=[[1, 2], [3]]), atol=1e-6)
    loaded = onnx.load(target / "enc0.onnx")
    assert {opset.version for opset in loaded.opset_import} == {13}
    said = {entry.key: entry.value for entry in loaded.metadata_props}
    assert json.dumps(said).count("ids below") == 1


@pytest.mark.parametrize(
    ("path", "graph", "sentence"),
    [
        ("s.onnx", "enc2", "The graph must be one of enc0, enc1, scores, found 'enc2'."),
        ("no/s.onnx", None, "no/s.onnx cannot be written: the folder"),
        ("file", None, "file is a file whose name does not end with .onnx"),
        ("full", None, "full/enc1.onnx cannot be written: it is a folder."),
        ("/proc/graphs", None, "/proc/graphs cannot be written to: "),
    ],
    ids=["graph", "folder", "suffix", "taken", "proc"],
)
def test_a_place_that_cannot_be_is_refused(
    path: str, graph: str, sentence: str, tmp_path: Path, trained: tuple[Object2Vec, Path]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full" / "enc1.onnx").mkdir(parents=True)
    with pytest.raises(CustomerError) as raised:
        trained[0].to_onnx(tmp_path / path, graph)
    assert sentence in str(raised.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


def test_a_failure_leaves_nothing_half_written(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(settings(**POOLED), rng)

    def refuse(*_given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    target = onnx_files.Target({"enc0": tmp_path / "new" / "enc0.onnx"}, tmp_path / "new" / "w")
    with pytest.raises(PlatformError, match=r"No space is left on the disk of .*enc0\.onnx: free"):
        write_onnx(network, target, external_data=True)
    assert os.listdir(tmp_path) == []


def test_a_missing_onnx_is_named(trained: tuple[Object2Vec, Path], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None; from object2vec.cli import main\n"
        f"sys.exit(main(['export', '--model-dir', {str(trained[1])!r}, '--onnx', 'graphs']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "pip install 'object2vec[onnx]'" in done.stderr and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []
