# SPDX-License-Identifier: Apache-2.0
"""Object2Vec on Apache MXNet: embeddings of pairs of objects, learned from their relation.

Nothing heavy is imported with the package; ``Object2Vec`` is loaded when it is first asked for.

>>> import object2vec
>>> "Object2Vec" in object2vec.__all__
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from object2vec.errors import AlgorithmError, CustomerError, Object2VecError, PlatformError
from object2vec.version import __version__

if TYPE_CHECKING:
    from object2vec.estimator import Object2Vec

__all__ = [
    "AlgorithmError",
    "CustomerError",
    "Object2Vec",
    "Object2VecError",
    "PlatformError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "Object2Vec":
        from object2vec.estimator import Object2Vec

        # Later look-ups find it here and do not come back.
        globals()[name] = Object2Vec
        return Object2Vec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
