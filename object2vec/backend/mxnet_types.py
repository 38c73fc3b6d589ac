# SPDX-License-Identifier: Apache-2.0
"""Names for MXNet's types in annotations; MXNet has none for type checkers, nor is it imported."""

from __future__ import annotations

from typing import Any

#: ``mxnet.nd.NDArray``: an array on a device; also its sparse forms.
NDArray = Any
#: ``mxnet.sym.Symbol``: a node of a graph that is not computed yet.
Symbol = Any
#: An NDArray, or a Symbol while a block is traced into a graph.
Tensor = Any
#: ``mxnet.gluon.Parameter``: a weight with its gradient, on each device that it is on.
Parameter = Any
#: ``mxnet.gluon.Block``: a layer or a network.
Block = Any
#: ``mxnet.Context``: a device.
Context = Any
