# SPDX-License-Identifier: Apache-2.0
"""A model behind sagemaker-inference's interface: initialised once, then requests to replies."""

from __future__ import annotations

import gc
import logging
import os
import signal
from typing import Any

from object2vec.errors import CustomerError
from object2vec.logs import LOGGER_NAME
from object2vec.neighbours.kept_indexes import index_of
from object2vec.serving import devices
from object2vec.serving.model import Model
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings
from object2vec.serving.worker import MODEL_DIGEST_VARIABLE, MODEL_DIR_VARIABLE

_logger = logging.getLogger(LOGGER_NAME)
# Requests hold many lists and no cycles: the usual 700 costs a third of the time of a large one.
_ALLOCATIONS_PER_COLLECTION = 1_000_000


def _prepare_indexes(model: Model) -> None:
    """Build now what the first requests for the nearest objects would have to wait for."""
    for side in model.indexes:
        index = index_of(model, side)
        assert index is not None
        try:
            index.prepare()
        except CustomerError as error:
            # scores and embeddings can be answered all the same
            _logger.warning("Requests for the nearest of %s will be refused: %s", side, error)


class Object2VecService:
    """Loads a model once and answers requests, in place of sagemaker-inference's `Transformer`.

    That one answers every mistake with 500 and a traceback, and its decoder for NumPy arrays runs
    pickles that anybody may send.
    """

    def validate_and_initialize(self, model_dir: str, context: Any) -> None:
        """Load the model; called once in each worker process.

        Parameters
        ----------
        model_dir : path
            What the server takes for the model's folder; the variable of the worker comes first.
        context : mms.context.Context

        Raises
        ------
        SystemExit
            If the model cannot be loaded. The server swallows every other exception and would call
            this worker healthy.
        """
        # The server's own handler would delete the socket that all workers are started through.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        folder = os.environ.get(MODEL_DIR_VARIABLE) or model_dir
        try:
            self._settings = Settings.from_environment(os.environ)
            self._model = devices.load(
                folder,
                self._settings.preferred_mode,
                context.system_properties.get("gpu_id"),
                expected_digest=os.environ.get(MODEL_DIGEST_VARIABLE),
            )
            if self._model.inputs is not None:
                self._model.inputs.index()
            _prepare_indexes(self._model)
        except CustomerError as error:
            _logger.error("This worker cannot answer: %s", error)
            raise SystemExit(1) from error
        except Exception as error:
            _logger.error("The model in %s cannot be loaded:", folder, exc_info=error)
            raise SystemExit(1) from error
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)

    def transform(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer requests.

        Parameters
        ----------
        data : list of dict
            For each request its body, under ``body``; a form has none.
        context : mms.context.Context
            Has the headers, and takes status and type of each answer.

        Returns
        -------
        list of bytes
            A body for each request.
        """
        bodies = []
        for position, row in enumerate(data):
            # Beside the headers stand descriptions of form fields, which are no text.
            fields = context.get_all_request_header(position).items()
            headers = {name: value for name, value in fields if isinstance(value, str)}
            reply = reply_to(self._model, row.get("body"), headers, self._settings)
            context.set_response_content_type(position, reply.media_type)
            context.set_response_status(reply.status, reply.phrase, position)
            bodies.append(reply.body)
        return bodies
