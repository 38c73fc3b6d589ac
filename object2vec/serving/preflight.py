# SPDX-License-Identifier: Apache-2.0
"""Load a model and run it once, in a process of its own, before a server is started with it."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from dataclasses import asdict, dataclass
from typing import Optional

from object2vec.errors import (
    AlgorithmError,
    CustomerError,
    Object2VecError,
    PlatformError,
    UnsoundModelError,
)
from object2vec.files import PathLike
from object2vec.resources import memory_bytes
from object2vec.serving.children import ending, run
from object2vec.serving.isolation import prelude, python_command
from object2vec.serving.stopping import StopRequest

_ERRORS = {
    kind.__name__: kind
    for kind in (CustomerError, UnsoundModelError, AlgorithmError, PlatformError)
}
_PROGRAM = "from object2vec.serving.preflight import main\n\nsys.exit(main())"


@dataclass(frozen=True)
class Findings:
    """What a worker with this model needs.

    Parameters
    ----------
    memory_bytes : int
        The largest memory of a process that loaded the model and ran it on one pair.
    gpus : int
        GPUs that MXNet can use.
    complete : bool
        False for a model that was saved before its first epoch ended.
    enc_dim, scores : int
        Numbers of an embedding, and of a pair's answer.
    digest : str
        Of the model; see `manifest.Manifest`.
    way : str
        How the model answers, and why, in a sentence.
    is_fallback : bool
        Whether that is slower than this machine could, for want of the compiled part.
    takes_raw_values : bool
        Whether it takes other values than lists of ids.
    """

    memory_bytes: int
    gpus: int
    complete: bool
    enc_dim: int
    scores: int
    digest: str = ""
    way: str = ""
    is_fallback: bool = False
    takes_raw_values: bool = False


def check_model(model_dir: PathLike, preferred_mode: Optional[str], stop: StopRequest) -> Findings:
    """Load and run a model in a process of its own, so that none of it stays in this one.

    Raises
    ------
    CustomerError, AlgorithmError, PlatformError
        Why the model cannot be served.
    Stopped, KeyboardInterrupt
        If a signal came meanwhile.
    """
    # What the program gets is the bytes of the path, whatever they mean.
    command = [*python_command(), "-c", f"{prelude()}\n{_PROGRAM}", os.fspath(model_dir)]
    try:
        done = run([*command, preferred_mode or ""], stop)
    except OSError as error:
        raise PlatformError(f"{sys.executable} cannot be run: {error.strerror}.") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise _unanswered(model_dir, done.returncode) from None
    if "error" in answer:
        raise _ERRORS.get(answer["kind"], AlgorithmError)(answer["error"])
    return Findings(**answer)


def _unanswered(model_dir: PathLike, code: int) -> Object2VecError:
    what = f"The trial run of the model in {os.fspath(model_dir)} {ending(code)}"
    if code == -signal.SIGKILL:
        return PlatformError(
            f"{what}, which the kernel sends where memory runs out: {memory_bytes() >> 20} MB are "
            "free now; use a machine with more, or find out who else killed it."
        )
    return AlgorithmError(f"{what}; what it wrote before stands above.")


def _check(model_dir: str, preferred_mode: Optional[str]) -> Findings:
    # Only the process of the trial needs MXNet.
    from object2vec.backend import own_process
    from object2vec.data.arrays import TokenLists

    own_process.tune()
    from object2vec.backend.kvstore import count_gpus
    from object2vec.model.model_files import model_manifest
    from object2vec.serving import devices

    manifest = model_manifest(model_dir)
    model = devices.load(model_dir, preferred_mode, expected_digest=manifest.digest)
    if model.inputs is not None:
        model.inputs.index()
    lists = TokenLists.from_lists([[0], [0, 0]])
    scores = model.scores(lists, lists).reshape(len(lists), -1)
    for side in (0, 1):
        model.embeddings(side, lists)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Findings(
        memory_bytes=peak,
        gpus=count_gpus(),
        complete=manifest.complete,
        enc_dim=model.hyperparameters.enc_dim,
        scores=scores.shape[1],
        digest=manifest.digest,
        way=model.way,
        is_fallback=model.is_fallback,
        takes_raw_values=model.inputs is not None,
    )


def main() -> int:
    """The process of the trial run: prints its findings, or the error, as JSON."""
    model_dir, preferred_mode = sys.argv[1], sys.argv[2] or None
    # The answer alone may stand on standard output, whatever a library prints there.
    answer_stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        answer = asdict(_check(model_dir, preferred_mode))
    except Exception as error:
        known = error
        if isinstance(error, MemoryError):
            known = PlatformError("The memory does not suffice for this model.")
        elif not isinstance(error, Object2VecError):
            traceback.print_exception(type(error), error, error.__traceback__)
            known = AlgorithmError(f"The model in {model_dir} cannot be run: {error!r}.")
        answer = {"kind": type(known).__name__, "error": str(known)}
    with answer_stream:
        json.dump(answer, answer_stream)
    return 0
