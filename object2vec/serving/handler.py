"""The one class that Multi Model Server loads, a handler service of sagemaker-inference."""

from __future__ import annotations

from sagemaker_inference.default_handler_service import DefaultHandlerService

from object2vec.serving.service import Object2VecService


class Object2VecHandler(DefaultHandlerService):
    """Hands `initialize` and `handle` on to `Object2VecService`.

    The toolkit's own service, its decoders and its way with errors are never called.
    """

    def __init__(self) -> None:
        super().__init__(transformer=Object2VecService())
