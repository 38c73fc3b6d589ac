# SPDX-License-Identifier: Apache-2.0
"""The one class that Multi Model Server loads, a handler service of sagemaker-inference."""

from __future__ import annotations

from typing import Any

from sagemaker_inference.default_handler_service import DefaultHandlerService

from object2vec.serving.service import Object2VecService


class Object2VecHandler(DefaultHandlerService):
    """Hands `initialize` and `handle` on to `Object2VecService`.

    The toolkit's own service, its decoders and its way with errors are never called.
    """

    def __init__(self) -> None:
        super().__init__(transformer=Object2VecService())

    def initialize(self, context: Any) -> None:
        """Load the model.

        The toolkit's own puts the model's folder and, by an empty entry, the current one onto
        PYTHONPATH, where every Python that this process starts would look for modules.
        """
        model_dir = context.system_properties.get("model_dir")
        self._service.validate_and_initialize(model_dir=model_dir, context=context)
