# SPDX-License-Identifier: Apache-2.0
"""What a Python worker of the model server does before the server's own code runs in it."""

from __future__ import annotations

import logging
import os
import runpy
import sys
from pathlib import Path

from object2vec.backend import own_process
from object2vec.logs import LOGGER_NAME, LineFormatter
from object2vec.serving.children import die_with_parent

# What a worker is told; the server in between knows neither.
MODEL_DIR_VARIABLE = "OBJECT2VEC_MODEL_DIR"
MODEL_DIGEST_VARIABLE = "OBJECT2VEC_MODEL_DIGEST"
# In the server's home: the process that forks the workers.
PID_FILE = "workers.pid"


class WorkerFormatter(LineFormatter):
    """Indents all lines but the first.

    The model server reads this log, and obeys lines that start with ``[PID]`` or ``[METRICS]``.
    """

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(super().format(record).splitlines())


def main(home: str, model_dir: str, digest: str) -> None:
    """Run the model server's worker program with the arguments of this process.

    Parameters
    ----------
    home : path
        The server's home.
    model_dir : path
        The model's folder.
    digest : str
        Of the model that the folder has to hold; see `manifest.Manifest`.
    """
    os.environ[MODEL_DIR_VARIABLE] = model_dir
    os.environ[MODEL_DIGEST_VARIABLE] = digest
    die_with_parent()
    Path(home, PID_FILE).write_text(str(os.getpid()), encoding="ascii")
    os.register_at_fork(after_in_child=die_with_parent)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(WorkerFormatter())
    logger = logging.getLogger(LOGGER_NAME)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    own_process.tune()
    # What the worker program says of every request is said by the server's own log.
    logging.getLogger("mms.service").setLevel(logging.WARNING)
    runpy.run_module("mms.model_service_worker", run_name="__main__", alter_sys=True)
