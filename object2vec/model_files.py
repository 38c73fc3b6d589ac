# SPDX-License-Identifier: Apache-2.0
"""Opens the files of a model directory once, so that what is checked is what is read."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional, TypeVar

from object2vec.errors import CustomerError
from object2vec.files import PathLike, open_regular
from object2vec.hyperparameters import Hyperparameters, parse
from object2vec.manifest import (
    DAMAGED,
    MANIFEST,
    ListedFile,
    Manifest,
    manifest_bytes,
    parse_json,
    parse_manifest,
)
from object2vec.parameter_files import ParameterFile, changed, file_size
from object2vec.parameter_shapes import Shapes, parameter_shapes
from object2vec.text import bounded
from object2vec.vocabulary_files import check_vocabulary

_T = TypeVar("_T")
_BLOCK = 1 << 20
_LONGEST_REASON = 300
# A reader starts anew each time that a writer replaces the model before all files are open.
_MOST_STARTS = 100


class ModelFiles:
    """The open files of a model: they stay what they are, whoever replaces them in the folder.

    Parameters
    ----------
    folder : Path
        For errors.
    manifest : Manifest
        What belongs to the model.
    streams : dict of str to io.BufferedReader
        All files by name, of the listed sizes.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, streams: dict[str, io.BufferedReader]
    ) -> None:
        self.manifest = manifest
        self._folder = folder
        self._streams = streams

    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with.

        Raises
        ------
        CustomerError
            As all methods here do, if the content is not sound or not the listed one.
        """
        values = self._json_object(self.manifest.hyperparameters)
        try:
            return parse(values)[0]
        except CustomerError as error:
            path = self._path(self.manifest.hyperparameters)
            raise CustomerError(
                f"{path} is not sound: {bounded(str(error), _LONGEST_REASON)}"
            ) from None

    def metrics(self) -> dict[str, Any]:
        """What training reported."""
        values = self._json_object(self.manifest.metrics)
        history = values.get("history", [])
        if not isinstance(history, list) or not all(isinstance(item, dict) for item in history):
            path = self._path(self.manifest.metrics)
            raise CustomerError(f"The 'history' in {path} is no list of objects; {DAMAGED}.")
        return values

    def vocabularies(self) -> list[Optional[str]]:
        """The vocabularies of in0 and in1 as gluonnlp's JSON, None where there is none."""
        names = self.manifest.vocabularies
        return [None if name is None else self._vocabulary(name) for name in names]

    def parameters(self, shapes: Shapes) -> ParameterFile:
        """The parameters, whose numbers are still to be read; see `ParameterFile`."""
        name = self.manifest.parameters
        try:
            return ParameterFile(self._streams[name], self._path(name), shapes)
        except CustomerError:
            if self.manifest.files[name].size == file_size(shapes):
                self.check(name)  # of a file that was changed that is said, not what it became
            raise

    def check(self, name: str) -> None:
        """Compare a file's content with its SHA-256."""
        stream, digest = self._streams[name], hashlib.sha256()
        stream.seek(0)
        while block := stream.read(_BLOCK):
            digest.update(block)
        if digest.hexdigest() != self.manifest.files[name].sha256:
            raise changed(self._path(name))

    def check_others(self) -> None:
        """Compare the files that are only kept for other programs, such as the symbols."""
        own = {self.manifest.hyperparameters, self.manifest.metrics, self.manifest.parameters}
        for name in self._streams.keys() - own - set(self.manifest.vocabularies):
            self.check(name)

    def _vocabulary(self, name: str) -> str:
        content = self._content(name)
        check_vocabulary(parse_json(content, self._path(name)), self._path(name))
        return content.decode("utf-8")

    def _json_object(self, name: str) -> dict[str, Any]:
        values = parse_json(self._content(name), self._path(name))
        if not isinstance(values, dict):
            raise CustomerError(f"{self._path(name)} holds no JSON object; {DAMAGED}.")
        return values

    def _content(self, name: str) -> bytes:
        stream, listed = self._streams[name], self.manifest.files[name]
        stream.seek(0)
        content = stream.read(listed.size)
        if hashlib.sha256(content).hexdigest() != listed.sha256:
            raise changed(self._path(name))
        return content

    def _path(self, name: str) -> Path:
        return self._folder / name


def read_model(
    folder: PathLike, use: Callable[[ModelFiles], _T], expected_digest: Optional[str] = None
) -> _T:
    """Open a model's files and give them to a function, beside any writer.

    Parameters
    ----------
    folder : path-like
        A model directory.
    use : callable
        Takes the open files; called anew where the model was replaced while it was opened or read.
    expected_digest : str, optional
        The `Manifest.digest` of the model that it has to be.

    Returns
    -------
    What `use` gives.

    Raises
    ------
    CustomerError
        If the folder holds no sound model, or another one than the expected.
    """
    folder = Path(folder)
    for start in range(_MOST_STARTS):
        content = manifest_bytes(folder)
        try:
            manifest = parse_manifest(content, folder / MANIFEST)
            if expected_digest not in (None, manifest.digest):
                raise CustomerError(
                    f"{folder} holds another model than before: its {MANIFEST} was replaced; train "
                    "into a folder of its own, and start a server anew to serve another model."
                )
            with _opened(folder, manifest) as files:
                return use(files)
        except CustomerError:
            if start == _MOST_STARTS - 1 or manifest_bytes(folder) == content:
                raise
    raise AssertionError  # not reached


def check_model(folder: PathLike) -> None:
    """Check all that can be checked without MXNet and without reading all parameters.

    Raises
    ------
    CustomerError
        If the folder holds no sound model.
    """

    def check(files: ModelFiles) -> None:
        files.parameters(parameter_shapes(files.hyperparameters()))
        files.metrics()
        files.vocabularies()
        files.check_others()

    read_model(folder, check)


@contextlib.contextmanager
def _opened(folder: Path, manifest: Manifest) -> Iterator[ModelFiles]:
    with contextlib.ExitStack() as stack:
        streams = {
            name: stack.enter_context(_open(folder / name, listed))
            for name, listed in manifest.files.items()
        }
        try:
            yield ModelFiles(folder, manifest, streams)
        except OSError as error:
            if error.filename is not None:
                raise
            raise CustomerError(
                f"The files in {folder} cannot be read: {error.strerror}."
            ) from None


def _open(path: Path, listed: ListedFile) -> io.BufferedReader:
    try:
        stream = open_regular(path)
    except FileNotFoundError:
        raise CustomerError(
            f"{path} is missing, though {MANIFEST} lists it; copy the whole model directory."
        ) from None
    except OSError as error:
        raise CustomerError(f"{path} cannot be read: {error.strerror}.") from None
    size = stream.seek(0, io.SEEK_END)
    if size != listed.size:
        stream.close()
        raise CustomerError(
            f"{path} has {size} bytes instead of {listed.size}; the file is cut off or damaged: "
            "copy or train the model again."
        )
    return stream
