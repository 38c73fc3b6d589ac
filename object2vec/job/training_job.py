# SPDX-License-Identifier: Apache-2.0
"""A training job from its first line to its exit code: signals, failures, what is told."""

from __future__ import annotations

import errno
import faulthandler
import logging
import signal
import time
from collections.abc import Callable
from typing import Optional

from object2vec.errors import (
    EXIT_INTERRUPTED,
    AlgorithmError,
    Object2VecError,
    PlatformError,
    failure_text,
)
from object2vec.job.job_inputs import Inputs, Job, read_inputs
from object2vec.job.stop_request import StoppedBeforeTraining, StopRequest
from object2vec.logs import LOGGER_NAME
from object2vec.training.readable_log import ReadableLog

_MEMORY_SIGNS = ("out of memory", "bad_alloc", "failed to allocate")
_logger = logging.getLogger(LOGGER_NAME)


def run(
    read_job: Callable[[], Job],
    report_failure: Callable[[str], None],
    *,
    progress: bool = False,
    stop: Optional[StopRequest] = None,
    readable: Optional[ReadableLog] = None,
    finished: Optional[Callable[[Job, Inputs], None]] = None,
) -> int:
    """Run a training job to its end, whatever that is.

    Parameters
    ----------
    read_job : callable
        Gives the job; its errors are reported like all others.
    report_failure : callable
        Receives one line, ``Customer Error: …``, when the job fails.
    progress : bool, default False
        Show a progress bar on standard error.
    stop : StopRequest, optional
        One that listens already; by default signals are taken until this returns.
    readable : ReadableLog, optional
        Is told what people want to know, besides the log.
    finished : callable, optional
        Gets the job and what it has read, once the model is saved and unless a signal ended it.

    Returns
    -------
    int
        Exit code: 0 for success and for SIGTERM, 130 for Ctrl-C, else that of the error.
    """
    if not faulthandler.is_enabled():
        # A crash in native code then leaves a Python traceback in the log.
        _enable_faulthandler()
    stop = stop or StopRequest()
    readable = readable or ReadableLog(lambda line: None)
    # To the end: a signal that comes while the end is told changes nothing of it.
    with stop.listening():
        try:
            return _train(read_job, stop, progress, readable, finished)
        except StoppedBeforeTraining:
            return _stopped_before_training(stop, readable)
        except KeyboardInterrupt:
            _tell(readable, "Stopped by a second Ctrl-C: what was saved last stays as it is.")
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            raise  # whoever reads the lines went away
        except Exception as error:
            if stop() and not stop.trains:
                # What the signal interrupted has made an error of it, as Python's enum does.
                return _stopped_before_training(stop, readable)
            known = explained(error)
            code = exit_code_of(known)
            if code == AlgorithmError.exit_code:
                _logger.error("The traceback of the failure:", exc_info=error)
            report_failure(failure_text(known))
            return code


def _stopped_before_training(stop: StopRequest, readable: ReadableLog) -> int:
    _tell(readable, f"Stopped by {_name(stop)} before the training began: nothing was saved.")
    return _exit_code(stop)


def explained(error: Exception) -> Exception:
    """Say of memory and disk errors what they mean; any other error is returned as it is."""
    if isinstance(error, Object2VecError):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or _native(error, "filestream.write incomplete"):
        name = getattr(error, "filename", None)
        place = f" while writing {name}" if name else ""
        return PlatformError(f"No space is left on the disk{place}: free some or use a bigger one.")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return PlatformError(f"{error.filename} cannot be used: {error.strerror}.")
    if isinstance(error, MemoryError) or _native(error, *_MEMORY_SIGNS):
        return PlatformError(
            "The memory does not suffice: use a machine with more of it, or lower mini_batch_size, "
            "enc_dim, token_embedding_dim or vocab_size."
        )
    return error


def exit_code_of(error: Exception) -> int:
    """The exit code that an error stands for; one that is not ours counts as our fault."""
    return error.exit_code if isinstance(error, Object2VecError) else AlgorithmError.exit_code


def _train(
    read_job: Callable[[], Job],
    stop: StopRequest,
    progress: bool,
    readable: ReadableLog,
    finished: Optional[Callable[[Job, Inputs], None]],
) -> int:
    begun = time.time()
    with stop.interrupting():
        job = read_job()
        inputs = read_inputs(job, begun, progress=progress)
    for line in inputs.told:
        readable.say(line)
    # An exception may be lost in the middle of an import, so that a signal only is remembered.
    from object2vec.training.loop import train

    stop.check()
    stop.trains = True
    result = train(
        inputs.hyperparameters,
        inputs.datasets["train"],
        inputs.datasets.get("validation"),
        inputs.datasets.get("test"),
        auxiliary=inputs.auxiliary,
        inputs=inputs.raw,
        model_dir=job.model_dir,
        host=job.host,
        stop=stop,
        progress=progress,
        start=inputs.start,
        readable=readable,
    )
    if result.interrupted:
        _tell(readable, f"Stopped by {_name(stop)}; the model is saved in {job.model_dir}.")
        return _exit_code(stop)
    which = "last" if result.is_last_kept else "best"
    saved = f"The model of epoch {result.best_epoch}, the {which} one, is saved in {job.model_dir}."
    readable.say(saved)
    if job.model_dir_option:  # the contract's log ends as the original's does
        _logger.info("%s", saved)
    if finished is not None:
        finished(job, inputs)
    return 0


def _tell(readable: ReadableLog, sentence: str) -> None:
    _logger.info("%s", sentence)
    readable.say(sentence)


def _native(error: Exception, *signs: str) -> bool:
    """Whether MXNet says one of these words; it has one class of error for everything."""
    text = str(error).lower()
    return type(error).__name__ == "MXNetError" and any(sign in text for sign in signs)


def _enable_faulthandler() -> None:
    try:
        faulthandler.enable()
    except (AttributeError, OSError, ValueError):
        # Standard error is no real file; the job runs as well without.
        _logger.debug("faulthandler is not available")


def _name(stop: StopRequest) -> str:
    return "Ctrl-C" if stop.signal is signal.SIGINT else "SIGTERM"


def _exit_code(stop: StopRequest) -> int:
    return EXIT_INTERRUPTED if stop.signal is signal.SIGINT else 0
