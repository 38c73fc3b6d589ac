# SPDX-License-Identifier: Apache-2.0
"""Where Multi Model Server is installed."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path

from object2vec.errors import PlatformError
from object2vec.serving.isolation import module_path


def server_jar() -> Path:
    """The server's Java classes.

    Raises
    ------
    PlatformError
        If multi-model-server is not installed.
    """
    spec = PathFinder.find_spec("mms", module_path())
    if spec is None or spec.origin is None:
        raise PlatformError(
            "multi-model-server is not installed; install the package with its serving parts: "
            "pip install 'object2vec[serve]'."
        )
    return Path(spec.origin).absolute().parent / "frontend" / "model-server.jar"
