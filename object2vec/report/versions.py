# SPDX-License-Identifier: Apache-2.0
"""What a report was made with."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib import metadata

from object2vec.report.projections import PCA, TSNE, UMAP
from object2vec.version import __version__

_PACKAGES = {PCA: "numpy", TSNE: "scikit-learn", UMAP: "umap-learn"}


def versions(projections: Sequence[str]) -> dict[str, str]:
    """Versions by name: this package's, Python's and those of what computed.

    Parameters
    ----------
    projections : sequence of str
        Of `projections.PROJECTIONS`.
    """
    found = {"object2vec": __version__, "Python": platform.python_version()}
    for package in ("mxnet", "numpy", *(_PACKAGES[name] for name in projections)):
        found[package] = metadata.version(package)
    return found


def today() -> str:
    """The date and the time, such as 3 July 2025, 14:05 UTC."""
    now = time.gmtime()
    return f"{now.tm_mday} {time.strftime('%B %Y, %H:%M', now)} UTC"
