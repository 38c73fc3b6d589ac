# SPDX-License-Identifier: Apache-2.0
"""Object2Vec on Apache MXNet: embeddings of pairs of objects, learned from their relation.

Nothing is imported with the package: its names are loaded when they are first asked for. So
``python -m object2vec`` takes the current folder off the path before anything is looked up there.

>>> import object2vec
>>> "Object2Vec" in object2vec.__all__
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from object2vec.version import __version__

if TYPE_CHECKING:
    from object2vec.errors import AlgorithmError, CustomerError, Object2VecError, PlatformError
    from object2vec.estimator.estimator import Object2Vec
    from object2vec.evaluation.results import Evaluation
    from object2vec.training.callbacks import Callback
    from object2vec.tuning.results import Tuning
    from object2vec.tuning.tune import tune

__all__ = [
    "AlgorithmError",
    "Callback",
    "CustomerError",
    "Evaluation",
    "Object2Vec",
    "Object2VecError",
    "PlatformError",
    "Tuning",
    "__version__",
    "tune",
]

_MODULES = {name: "errors" for name in __all__ if name.endswith("Error")}
_MODULES.update(
    Callback="training.callbacks",
    Evaluation="evaluation.results",
    Object2Vec="estimator.estimator",
    Tuning="tuning.results",
    tune="tuning.tune",
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"object2vec.{_MODULES[name]}"), name)
    # Later look-ups find it here and do not come back.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
