# SPDX-License-Identifier: Apache-2.0
"""What our own processes set before MXNet is imported, each in a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_jobs import without_mxnets_line

from object2vec.backend.own_process import openblas_core

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    "OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE",
    "MXNET_MKLDNN_CACHE_NUM",
)  # fmt: skip
TOLD = f"import os; print(*(os.environ.get(name, '-') for name in {NAMES}))"


def run_python(program: str, **given: str) -> str:
    """What a program prints in a process with these variables, and none other of those set here."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment.pop("OMP_WAIT_POLICY", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**environment, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    err = without_mxnets_line(done.stderr)
    assert (done.returncode, err) == (0, ""), done.stdout + err
    return done.stdout.splitlines()[-1]


def test_variables_are_set_unless_the_user_did() -> None:
    tune = f"from object2vec.backend import own_process\nown_process.tune()\n{TOLD}"
    core, threads, spins, fallback, cache = run_python(tune).split()
    assert core in ("SKYLAKEX", "HASWELL", "-")
    assert 1 <= int(threads) <= len(os.sched_getaffinity(0))
    assert (spins, fallback, cache) == ("1000", "0", "256")
    given = dict(zip(NAMES, ("Zen", "3", "7", "1", "9")))
    assert run_python(tune, **given) == "Zen 3 7 1 9"
    assert run_python(tune, OMP_NUM_THREADS="2, 1").split()[1] == "2"
    assert run_python(tune, OMP_WAIT_POLICY="active").split()[2] == "-"


@pytest.mark.slow
def test_nothing_is_set_once_mxnet_is_imported() -> None:
    program = (
        "from object2vec.backend.mxnet_import import mx\n"
        f"from object2vec.backend import own_process\nown_process.tune()\n{TOLD}"
    )
    assert run_python(program) == "- - - - -"


OPTIONAL = """
import sys
from object2vec.backend import own_process
if {0}:
    own_process.tune()
from object2vec.backend.mxnet_import import mx
there = [name in sys.modules for name in ("scipy", "sklearn")]
import scipy.stats, sklearn.base
print(*there, mx.nd.ones(2).sum().asscalar(), scipy.stats.norm.cdf(0), sklearn.base.clone([]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "a host's"])
def test_only_a_hosts_mxnet_gets_scipy_and_sklearn(is_ours: bool) -> None:
    """They double the time of its import; who asks for them later has them."""
    there = f"{not is_ours} {not is_ours}"
    assert run_python(OPTIONAL.format(is_ours)) == f"{there} 2.0 0.5 []"


PAIRS = '{"in0": [1, 2], "in1": [3], "label": 1}\n{"in0": [2], "in1": [0], "label": 0}\n'
SMALL = (
    "enc0_max_seq_len=3", "enc0_vocab_size=5", "enc_dim=8", "epochs=1",
    "enc0_network=pooled_embedding",
)  # fmt: skip


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the command `train`, whose process was tuned."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "pairs.jsonl").write_text(PAIRS)
    options = [text for value in SMALL for text in ("-p", value)]
    arguments = ["train", "--train", f"{folder}/pairs.jsonl", "--model-dir", f"{folder}/model"]
    program = f"from object2vec.cli import main\nassert not main({arguments + options!r})\n{TOLD}"
    assert run_python(program).split()[3:] == ["0", "256"]
    return folder / "model"


@pytest.mark.slow
def test_predict_is_tuned(model_dir: Path) -> None:
    arguments = ["predict", "--model-dir", str(model_dir), "--input"]
    arguments.append(str(model_dir.parent / "pairs.jsonl"))
    program = f"from object2vec.cli import main\nassert not main({arguments!r})\n{TOLD}"
    assert run_python(program).split()[3:] == ["0", "256"]


@pytest.mark.slow
def test_the_trial_run_of_a_model_is_tuned(model_dir: Path) -> None:
    check = f"preflight._check({str(model_dir)!r}, None)"
    program = f"from object2vec.serving import preflight\n{check}\n{TOLD}"
    assert run_python(program).split()[3:] == ["0", "256"]


def test_a_worker_of_the_model_server_is_tuned(tmp_path: Path) -> None:
    program = (
        "import runpy\nfrom object2vec.serving import worker\n"
        f"def run(*_, **__): exec({TOLD!r}, {{}})\n"
        f"runpy.run_module = run\nworker.main({str(tmp_path)!r}, 'model', 'digest')"
    )
    assert run_python(program).split()[3:] == ["0", "256"]


@pytest.mark.parametrize(
    ("flags", "core"),
    [
        ("fpu sse2 avx avx2 avx512f avx512dq", "SKYLAKEX"),
        ("fpu sse2 avx avx2 fma", "HASWELL"),
        ("fpu sse2 avx", None),
        ("fpu avx512fp16", None),
    ],
)
def test_openblas_core_follows_the_flags_of_the_cpu(flags: str, core: str | None) -> None:
    cpu_info = f"processor\t: 0\nmodel name\t: Some CPU avx512f\nflags\t\t: {flags}\nbugs\t\t:\n"
    assert openblas_core(cpu_info * 2) == core


def test_openblas_core_of_a_machine_without_flags_is_left_alone() -> None:
    assert openblas_core("processor\t: 0\nFeatures\t: fp asimd\n") is None
