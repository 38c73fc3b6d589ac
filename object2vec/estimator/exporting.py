# SPDX-License-Identifier: Apache-2.0
"""The Python API of what a fitted model gives to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from object2vec.estimator.named_objects import (
    check_side,
    given_objects,
    vocabulary_objects,
)
from object2vec.estimator.reported_objects import listed
from object2vec.export.vector_files import vector_target, write_vectors
from object2vec.export.vector_stream import VectorStream
from object2vec.files import check_not_read

if TYPE_CHECKING:
    from object2vec.export.vectors import Vectors
    from object2vec.files import PathLike
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout


class Exporting:
    """What gives embeddings with names, where there is a model."""

    def vectors(
        self,
        side: str,
        objects: Any = None,
        *,
        name: Optional[str] = None,
        layout: Optional[Layout] = None,
    ) -> Vectors:
        """Embed distinct objects of one side, each with its name.

        Parameters
        ----------
        side : str
            ``in0`` or ``in1``: whose objects, and so whose encoder.
        objects : path, list of pathlib.Path, iterable, pandas.DataFrame or table of Arrow, optional
            As `embed` takes them; a path, which a text is too, leads to a table with the side's
            columns or to JSON Lines with the key `side`. Of equal objects the first one counts. By
            default all of the side's vocabulary: the values of its column, where it has a single
            one of the kind id; of a model of ids whose lists hold one id each all ids, or those
            that have a word in its vocabulary file.
        name : str, optional
            The column whose values are the names, of the side or beside it in a table or in dicts,
            such as a title beside ids. By default an object is called by its value, by the first
            of its columns where that tells all apart, else by the values of all with `` | ``
            between them; by its ids, or their words, with blanks between them.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written.

        Returns
        -------
        Vectors
            ``names``, each once, and ``vectors``, float32 ``(n, enc_dim)``, in the order of the
            vocabulary or of the objects. Those without a value are left out, with a warning.

        Raises
        ------
        CustomerError
            No vocabulary holds the side's objects; one sentence that names the first object that is
            not right; two objects have one name; or there are none.

        Examples
        --------
        >>> from object2vec import Object2Vec
        >>> model = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, enc_dim=8, epochs=1, seed=1)
        >>> pairs = [{"in0": [1], "in1": [2], "label": 1}, {"in0": [1], "in1": [3], "label": 0}]
        >>> found = model.fit(pairs).vectors("in1")
        >>> found.names, found.vectors.shape
        (['0', '1', '2', '3'], (4, 8))
        """
        return self._stream(side, objects, name, layout).all()

    def save_vectors(
        self,
        path: PathLike,
        side: str,
        objects: Any = None,
        *,
        format: Optional[str] = None,
        name: Optional[str] = None,
        layout: Optional[Layout] = None,
    ) -> int:
        """Write the embeddings of distinct objects of one side to a file, block by block.

        What ``vectors(side, objects).save(path)`` writes, but of millions of objects only some are
        in memory at a time.

        Parameters
        ----------
        path : path
            Replaced where it exists, as a whole or not at all.
        side : str
            ``in0`` or ``in1``.
        objects, name, layout : as for vectors
            Which objects, and what they are called.
        format : str, optional
            In place of what the path's suffix says; see `object2vec.export.vectors.Vectors.save`.

        Returns
        -------
        int
            How many objects there are.

        Raises
        ------
        CustomerError
            As of `vectors`; or there is no such format, two names would be the same in it, or the
            file cannot be written.
        PlatformError
            There is no space left.
        """
        self._fitted()
        target = vector_target(path, format)
        for each in target.paths:
            check_not_read(each, listed(objects))
        stream = self._stream(side, objects, name, layout)
        write_vectors(stream, target)
        return len(stream)

    def to_onnx(
        self,
        path: PathLike,
        graph: Optional[str] = None,
        *,
        external_data: Optional[bool] = None,
    ) -> tuple[Path, ...]:
        """Write the network as graphs of ONNX, opset 13, which other runtimes compute.

        Parameters
        ----------
        path : path
            A file that ends with ``.onnx``, for one graph; or a folder, made if it is missing, for
            ``enc0.onnx``, ``enc1.onnx`` and ``scores.onnx``. Replaced as a whole or not at all.
        graph : str, optional
            ``enc0`` or ``enc1`` for the embeddings of a side, float32 ``(batch, enc_dim)``, or
            ``scores`` for what `predict` gives; by default all in a folder, and the scores in a
            file.
        external_data : bool, optional
            Whether the weights stand in a file beside the graphs, which share it; by default where
            they have more than 2 GiB.

        Returns
        -------
        tuple of pathlib.Path
            What was written.

        Raises
        ------
        CustomerError
            onnx is missing, there is no such graph, or the place cannot be written to.
        PlatformError
            There is no space left.

        Notes
        -----
        The inputs are int64: ``source`` and ``target``, ids ``(batch, length)``, and how many of
        each list are real, ``source_length`` and ``target_length`` ``(batch,)``. Lists are padded
        at the end with anything, their longest has one id or more, and nothing cuts them to
        max_seq_len. What turns raw values into ids is no part of a graph.
        """
        predictor = self._fitted()
        from object2vec.export.onnx_files import onnx_target, write_onnx

        return write_onnx(predictor.network, onnx_target(path, graph), external_data)

    def _stream(
        self, side: str, objects: Any, name: Optional[str], layout: Optional[Layout]
    ) -> VectorStream:
        predictor = self._fitted()
        check_side(side)
        if objects is None:
            found = vocabulary_objects(predictor, side)
        else:
            found = given_objects(predictor, side, objects, name, layout)
        return VectorStream(predictor, side, found.names, found.lists)

    def _fitted(self) -> Predictor:
        raise NotImplementedError
