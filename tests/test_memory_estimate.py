# SPDX-License-Identifier: Apache-2.0
"""The estimate of a training's memory, against real processes, and what is refused by it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import random_pairs, settings, skip_without_compiled_part

from object2vec import Object2Vec, cli, resources
from object2vec.data.arrays import PairDataset
from object2vec.errors import PlatformError
from object2vec.hyperparameters.checked import parse
from object2vec.resources import Memory
from object2vec.training import memory_estimate
from object2vec.training.memory_estimate import Estimate, Part, estimate_memory, in_units

PUBLISHED = json.loads(
    (Path(__file__).parent / "data" / "published_hyperparameters.json").read_text(encoding="utf-8")
)
# Ends with the estimate, its least and the process's peak, in bytes.
PROGRAM = """
import json, logging, sys
import numpy as np
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.backend import own_process
from object2vec.hyperparameters.checked import parse
from object2vec.training.memory_estimate import estimate_memory

logging.disable(logging.CRITICAL)
common = {"_seed": 1, "enc0_max_seq_len": 50, "epochs": 2, "mini_batch_size": 500, "mlp_dim": 64}
given = json.loads(sys.argv[1])
count = given.pop("pairs", 1000)
settings = parse({**common, **given})[0]
rng = np.random.default_rng(1)

def lists(encoder):
    lengths = rng.integers(1, 21, count)
    tokens = rng.integers(0, encoder.vocab_size, lengths.sum())
    return TokenLists.from_lengths(tokens.astype(np.int32), lengths)

labels = np.maximum(rng.integers(0, 2, count), settings.is_contrastive).astype(np.float32)
pairs = PairDataset(lists(settings.enc0), lists(settings.enc1), labels)
estimate = estimate_memory(settings, [pairs])
own_process.tune()
from object2vec.training.loop import train
train(settings, pairs)
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
print(estimate.bytes, estimate.least, peak)
"""
POOLED = {"enc0_network": "pooled_embedding", "enc0_vocab_size": 250_000, "enc_dim": 256}


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["1", "0"], ids=["compiled", "operators"])
@pytest.mark.parametrize(
    "given",
    [
        {**POOLED},
        {
            **POOLED,
            "token_embedding_storage_type": "row_sparse",
            "tied_token_embedding_weight": True,
        },
        {**POOLED, "optimizer": "sgd"},
        {**POOLED, "token_weighting": "learned"},
        {**POOLED, "optimizer": "adadelta", "tied_token_embedding_weight": True},
        {**POOLED, "optimizer": "rmsprop"},
        {"enc0_network": "hcnn", "enc0_vocab_size": 100_000, "enc_dim": 512},
        {"enc0_network": "bilstm", "enc0_vocab_size": 100_000, "enc_dim": 512},
        {
            **{**POOLED, "enc0_vocab_size": 9, "enc_dim": 16},
            **{"scorer": "cosine", "output_layer": "in_batch_softmax"},
            **{"pairs": 6000, "mini_batch_size": 6000},
        },
    ],
    ids=[
        "adam",
        "row_sparse tied",
        "sgd",
        "weights",
        "adadelta",
        "rmsprop",
        "hcnn",
        "bilstm",
        "in batch",
    ],
)
def test_the_estimate_is_honest(given: dict[str, Any], compiled: str) -> None:
    if compiled == "1":
        skip_without_compiled_part()
        if given.get("optimizer", "adam") != "adam":
            pytest.skip("operators train anyway")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        env={**os.environ, "OBJECT2VEC_COMPILED": compiled},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    estimated, least, peak = map(int, done.stdout.split()[-3:])
    assert 0.35 * peak < least <= peak, done.stdout
    assert 0.75 * peak < estimated < 1.5 * peak, done.stdout


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets the bytes that the machine says are available."""
    folder = tmp_path / "proc"
    folder.mkdir()
    monkeypatch.setattr(resources, "_PROC", folder)
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)

    def set_available(count: float) -> None:
        (folder / "meminfo").write_text(f"MemAvailable: {int(count) // 1024} kB\n")

    yield set_available


BIG = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 3_000_000,
    "enc0_max_seq_len": 2,
    "enc_dim": 700,
    "mlp_dim": 64,
}
# Two tables of 8.4 GB, twice as much for the moments.
NEEDED = 3 * 2 * 3_000_000 * 700 * 4


@pytest.mark.parametrize("way", ["validate", "train", "fit"])
def test_a_training_that_cannot_fit_is_refused_before_its_data_are_read(
    way: str, memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory(24e9)
    (tmp_path / "data.jsonl").write_text("no JSON\n")
    if way == "fit":
        with pytest.raises(PlatformError) as caught:
            Object2Vec(**BIG).fit(str(tmp_path / "data.jsonl"))
        text = str(caught.value)
    else:
        given = [part for name, value in BIG.items() for part in ("-p", f"{name}={value}")]
        given += ["--train", str(tmp_path / "data.jsonl"), "--model-dir", str(tmp_path / "model")]
        assert cli.main([way, *given]) == PlatformError.exit_code
        text = capsys.readouterr().err.strip().splitlines()[-1]
    assert text.endswith(
        "The training needs 50.4 GB of memory or more, 33.6 GB of it for adam's moments of the "
        "token tables, but this machine has 24.0 GB left: lower 'enc0_vocab_size' or 'enc_dim', "
        "or take the optimizer sgd, which keeps none of it, or use a machine with more memory."
    )
    assert not (tmp_path / "model").exists()


def test_only_what_surely_cannot_fit_is_refused(memory: Any) -> None:
    estimate = estimate_memory(parse(BIG)[0])
    assert NEEDED < estimate.least < 1.01 * NEEDED
    assert estimate.bytes > estimate.least
    memory(estimate.least - 1024)
    with pytest.raises(PlatformError):
        estimate.check()
    memory(estimate.least + 1024)
    estimate.check()


def test_whole_lists_are_data_but_no_batch(rng: np.random.Generator) -> None:
    """A batch holds windows of them."""
    given: dict[str, Any] = {"enc0_network": "hcnn", "enc0_max_seq_len": 5}
    whole = random_pairs(rng, 300, longest=200)
    cut = PairDataset(whole.in0.truncate(5), whole.in1.truncate(5), whole.labels)

    def parts(crop: bool, pairs: PairDataset) -> dict[str, Part]:
        estimate = estimate_memory(settings(**given, enc0_random_crop=crop), [pairs])
        return {part.name: part for stage in estimate.stages for part in stage}

    of_whole, of_cut = parts(True, whole), parts(False, cut)
    saved = 4 * sum(
        len(more.tokens) - len(less.tokens)
        for more, less in ((whole.in0, cut.in0), (whole.in1, cut.in1))
    )
    assert of_whole["data"].bytes - of_cut["data"].bytes == saved
    of_whole.pop("data")
    of_cut.pop("data")
    assert of_whole == of_cut


def test_negatives_count_and_are_named(memory: Any, rng: np.random.Generator) -> None:
    memory(24e9)
    given = settings(negative_sampling_rate=10**8)
    with pytest.raises(PlatformError, match="lower 'negative_sampling_rate', or use"):
        estimate_memory(given, [random_pairs(rng, 60)]).check()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc frees by itself")
def test_what_an_earlier_training_has_freed_is_there_for_the_next(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks too small for pages of their own, of which the last ones keep the others."""
    program = (
        "import ctypes\n"
        "from object2vec.resources import give_back_freed_memory\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "libc.free.argtypes = [ctypes.c_void_p]\n"
        "blocks = [libc.malloc(60_000) for _ in range(4000)]\n"
        "for block in blocks:\n"
        "    ctypes.memset(block, 1, 60_000)\n"
        "for block in blocks[:-1]:\n"
        "    libc.free(block)\n"
        "before = resident()\n"
        "give_back_freed_memory()\n"
        "print(before - resident())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(done.stdout) > 200e6, done.stderr
    told = iter([NEEDED * 0.9, NEEDED * 1.1])
    monkeypatch.setattr(
        memory_estimate, "available_memory", lambda: Memory(int(next(told)), "this machine")
    )
    estimate_memory(settings(**BIG)).check()


def test_where_the_memory_is_unknown_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PROC", tmp_path)
    Estimate(((Part("all there is", 1 << 60, 1 << 60),),)).check()


def test_a_container_s_limit_refuses_too(memory: Any, tmp_path: Path) -> None:
    memory(80e9)
    (tmp_path / "memory.max").write_text("16000000000\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    with pytest.raises(PlatformError, match=r"this container has 15\.0 GB left"):
        estimate_memory(parse(BIG)[0]).check()


def test_validate_tells_the_estimate(
    memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory(4e9)
    (tmp_path / "data.jsonl").write_text('{"in0": [1], "in1": [2], "label": 1}\n')
    given = [part for name, value in BIG.items() for part in ("-p", f"{name}={value}")]
    given += ["-p", "enc_dim=50", "--train", str(tmp_path / "data.jsonl")]
    assert cli.main(["validate", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == (
        "memory: about 3.9 GB in training: 2.4 GB adam's moments of the token tables, 1.2 GB token "
        "tables, 300 MB the program"
    )


def test_what_the_data_need_comes_on_top(memory: Any, rng: np.random.Generator) -> None:
    """A batch of 10,000 pairs whose comparison is 40,000 numbers wide."""
    given = settings(enc0_network="pooled_embedding", enc_dim=10_000, mini_batch_size=10_000)
    pairs = random_pairs(rng, 10_000)
    before, after = estimate_memory(given), estimate_memory(given, [pairs])
    assert after.least - before.least == 4 * 10_000 * (2 * 10_000 + 2 * 40_000)
    few = estimate_memory(given, [random_pairs(rng, 10)])
    assert few.least - before.least == 4 * 10 * (2 * 10_000 + 2 * 40_000)
    memory(before.least + 1e8)
    before.check()
    with pytest.raises(PlatformError, match="lower 'mini_batch_size' or 'enc_dim'"):
        after.check()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_jobs_fit_into_a_small_machine(name: str, memory: Any) -> None:
    memory(4e9)
    estimate = estimate_memory(parse(PUBLISHED[name])[0])
    estimate.check()
    assert estimate.bytes < 4e9


@pytest.mark.parametrize(
    ("given", "tables", "moments"),
    [
        ({}, 2, 2),
        ({"tied_token_embedding_weight": True}, 1, 2),
        ({"token_embedding_storage_type": "row_sparse"}, 2, 2),
        ({"optimizer": "adagrad"}, 2, 1),
        ({"optimizer": "sgd"}, 2, 0.5),  # what the second table is copied from when it is drawn
        ({"optimizer": "rmsprop"}, 2, 1.5),  # and a gradient of one table's size
    ],
)
def test_tables_and_moments_count_once_each(
    given: dict[str, Any], tables: int, moments: float
) -> None:
    estimate = estimate_memory(parse({**BIG, **given})[0])
    expected = tables * 3_000_000 * 700 * 4 * (1 + moments)
    assert expected <= estimate.least < 1.01 * expected


def test_frozen_tables_have_no_moments() -> None:
    files = {"enc0_pretrained_embedding_file": "v.txt", "enc0_vocab_file": "v.json"}
    estimate = estimate_memory(parse({**BIG, **files})[0])
    assert NEEDED / 2 <= estimate.least < 1.01 * NEEDED / 2  # one is copied when it is drawn


def test_on_gpus_the_host_needs_one_parameter_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_estimate, "NVIDIA_DRIVER", tmp_path)
    assert estimate_memory(parse(BIG)[0]).least == 3_000_000 * 700 * 4
    on_cpu = {**BIG, "_num_gpus": 0}
    assert estimate_memory(parse(on_cpu)[0]).least >= NEEDED


def test_the_line_names_the_parts_in_human_numbers(rng: np.random.Generator) -> None:
    given = settings(enc0_network="pooled_embedding", enc0_vocab_size=3_000_000, enc_dim=100)
    line = estimate_memory(given, [random_pairs(rng, 30)]).line()
    assert line == (
        "memory: about 7.5 GB in training: 4.8 GB adam's moments of the token tables, 2.4 GB token "
        "tables, 300 MB the program"
    )


def test_what_lies_outside_the_tables_is_called_so_where_the_tables_are_too_small_to_name() -> None:
    given = settings(enc0_network="pooled_embedding", enc_dim=64, mlp_dim=2000)
    line = estimate_memory(given).line()
    assert " MB parameters and gradients outside the token tables, " in line
    assert line.endswith(" MB adam's moments of the parameters outside the token tables")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 MB"), (999e6, "999 MB"), (1e9, "1.0 GB"), (48.25e9, "48.2 GB"), (2e13, "20,000.0 GB")],
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert in_units(count) == text
