# SPDX-License-Identifier: Apache-2.0
"""Builds one graph of ONNX node by node; what its weights hold is told apart from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from object2vec.extras import extra_module

#: Of 2020: read by every runtime since; a newer one would bring nothing that is needed here.
OPSET, IR_VERSION = 13, 7


def onnx_module(name: str = "") -> Any:
    """The module ``onnx``, or one of its own, such as ``helper``.

    Raises
    ------
    CustomerError
        If it is not installed, or cannot be loaded.
    """
    module = f"onnx.{name}" if name else "onnx"
    return extra_module(module, "Graphs are written with onnx", "'object2vec[onnx]'")


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor of float32 that several graphs may hold.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    blocks : callable
        Gives its elements, block by block, so that no second copy of a table exists.
    """

    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[np.ndarray]]

    @classmethod
    def of(cls, array: np.ndarray) -> Weight:
        """A weight that is in memory."""
        return cls(array.shape, lambda: iter([array]))

    @property
    def size(self) -> int:
        """Bytes."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))

    def write(self, write: Callable[[Any], Any]) -> None:
        """Hand over the elements as little-endian bytes."""
        for block in self.blocks():
            write(np.ascontiguousarray(block, "<f4").data.cast("B"))


class Graph:
    """Nodes, constants and names of weights, in the order in which they are computed."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.weights: dict[str, Weight] = {}
        self._helper = onnx_module("helper")

    def add(self, operator: str, *inputs: str, output: Optional[str] = None, **options: Any) -> str:
        """Add a node with one output, and give the output's name."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            self._helper.make_node(operator, inputs, [output], name=f"{output}_node", **options)
        )
        return output

    def integers(self, values: Union[int, Sequence[int]]) -> str:
        """A constant of int64, a scalar or an axis of them."""
        return self._constant(np.array(values, np.int64), "i")

    def number(self, value: float) -> str:
        """A constant scalar of float32."""
        return self._constant(np.array(value, np.float32), "f")

    def _constant(self, array: np.ndarray, kind: str) -> str:
        name = f"constant_{kind}_{array.ndim}_{'_'.join(map(str, array.ravel().tolist()))}"
        self.constants.setdefault(name, array)
        return name

    def weight(self, name: str, weight: Weight) -> str:
        """The name of a weight, which the graph then holds."""
        self.weights.setdefault(name, weight)
        return name

    def unsqueezed(self, tensor: str, axis: int) -> str:
        """A tensor with an axis of one element more."""
        return self.add("Unsqueeze", tensor, self.integers([axis]))

    def summed(self, tensor: str, axis: int, *, keep: bool = False) -> str:
        """Sums over an axis."""
        return self.add("ReduceSum", tensor, self.integers([axis]), keepdims=int(keep))

    def highest(self, tensor: str, axis: int) -> str:
        """Maxima over an axis."""
        return self.add("ReduceMax", tensor, axes=[axis], keepdims=0)

    def cast(self, tensor: str, kind: type) -> str:
        """A tensor of another type of NumPy's."""
        return self.add("Cast", tensor, to=self._helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
