# SPDX-License-Identifier: Apache-2.0
"""Names for MXNet's types in annotations; MXNet has none for type checkers, nor is it imported."""

from __future__ import annotations

from typing import Any

#: ``mxnet.nd.NDArray``: an array on a device; also its sparse forms.
NDArray = Any
#: ``mxnet.gluon.Block``: a layer or a network.
Block = Any
#: ``mxnet.Context``: a device.
Context = Any
