# SPDX-License-Identifier: Apache-2.0
"""Opens a model's files once, wherever they are, so that what is checked is what is read."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, TypeVar

import numpy as np

from object2vec.errors import CustomerError
from object2vec.files import PathLike, open_regular
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.table import BALANCED
from object2vec.model.array_files import check_array, read_array
from object2vec.model.manifest import (
    DAMAGED,
    MANIFEST,
    ListedFile,
    Manifest,
    manifest_bytes,
    parse_json,
    parse_manifest,
    read_manifest,
)
from object2vec.model.model_archives import ModelArchive, is_archive
from object2vec.model.parameter_files import ParameterFile, Stream, changed, file_size, sha256_of
from object2vec.model.parameter_shapes import Shapes, parameter_shapes
from object2vec.model.stored_index import GetArray, StoredIndex, read_index
from object2vec.model.vocabulary_files import check_vocabulary
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.inputs_file import parse_inputs
from object2vec.text import bounded, quoted

#: What stands in sentences for the folder of a model that came as bytes.
PACKED = Path("the pickled model")

_T = TypeVar("_T")
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
    streams : mapping of str to file
        All files by name, of the listed sizes.
    """

    def __init__(self, folder: Path, manifest: Manifest, streams: Mapping[str, Stream]) -> None:
        self.manifest = manifest
        self.place = folder
        self._streams = streams
        self._arrays: set[str] = set()

    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with.

        Raises
        ------
        CustomerError
            As all methods here do, if the content is not sound or not the listed one.
        """
        values = self._json_object(self.manifest.hyperparameters)
        path = self._path(self.manifest.hyperparameters)
        try:
            found = parse(values)[0]
        except CustomerError as error:
            raise CustomerError(
                f"{path} is not sound: {bounded(str(error), _LONGEST_REASON)}"
            ) from None
        if found.class_weights == BALANCED:
            raise CustomerError(
                f"{path} gives '{BALANCED}' for 'class_weights', but a model has a number for each "
                f"class, those of its training; {DAMAGED}."
            )
        return found

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

    def inputs(self, hyperparameters: Hyperparameters) -> Optional[Inputs]:
        """Which raw value has which id, None where the model knows only ids."""
        name = self.manifest.inputs
        if name is None:
            return None
        inputs = parse_inputs(self._content(name), str(self._path(name)), self._tokenizer)
        inputs.check_fit(hyperparameters, str(self._path(name)))
        return inputs

    def parameters(self, shapes: Shapes) -> ParameterFile:
        """The parameters, whose elements are still to be read; see `ParameterFile`."""
        name = self.manifest.parameters
        try:
            return ParameterFile(self._streams[name], self._path(name), shapes)
        except CustomerError:
            if self.manifest.files[name].size == file_size(shapes):
                self.check(name)  # a changed file is reported as such, whatever it became
            raise

    def indexes(self, hyperparameters: Hyperparameters) -> dict[str, StoredIndex]:
        """The indexes by the side whose objects they hold."""
        read = self._indexes(hyperparameters, self._array)
        return {side: index for side, index in read.items() if index is not None}

    def check_indexes(self, hyperparameters: Hyperparameters) -> None:
        """Check what can be checked of the indexes without reading their arrays."""
        self._indexes(hyperparameters, self._array_head)

    def _indexes(
        self, hyperparameters: Hyperparameters, get: GetArray
    ) -> dict[str, Optional[StoredIndex]]:
        found = {}
        for side, name in self.manifest.indexes.items():
            path = self._path(name)
            values = parse_json(self._content(name), path)
            found[side] = read_index(values, side, hyperparameters, path, get)
        return found

    def _array_head(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        check_array(self._array_stream(name), self._path(name), dtype, shape)

    def _array(self, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        sha256 = self.manifest.files[name].sha256 if name in self._streams else ""
        return read_array(self._array_stream(name), self._path(name), dtype, shape, sha256)

    def _array_stream(self, name: str) -> Stream:
        if name not in self._streams:
            raise CustomerError(
                f"{self._path(MANIFEST)} does not list {quoted(name)}, which an index of the model "
                f"names; {DAMAGED}."
            )
        self._arrays.add(name)
        return self._streams[name]

    def check(self, name: str) -> None:
        """Compare a file's content with its SHA-256."""
        stream = self._streams[name]
        stream.seek(0)
        if sha256_of(stream) != self.manifest.files[name].sha256:
            raise changed(self._path(name))

    def check_others(self) -> None:
        """Compare the files that nothing else has read, such as the symbols."""
        manifest = self.manifest
        own: set[Optional[str]] = {
            *(manifest.hyperparameters, manifest.metrics, manifest.parameters, manifest.inputs)
        }
        own |= {*manifest.vocabularies, *manifest.indexes.values(), *self._arrays}
        for name in self._streams.keys() - own:
            self.check(name)

    def _tokenizer(self, name: str) -> bytes:
        if name not in self._streams:
            raise CustomerError(
                f"{self._path(MANIFEST)} does not list {name}, which the model's inputs name; "
                f"{DAMAGED}."
            )
        return self._content(name)

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
        return self.place / name


def read_model(
    folder: PathLike, use: Callable[[ModelFiles], _T], expected_digest: Optional[str] = None
) -> _T:
    """Open a model's files and give them to a function, beside any writer.

    Parameters
    ----------
    folder : path-like
        A model directory, or an archive of one; see `model_archives`.
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
    if is_archive(folder):
        return _read_archive(folder, use, expected_digest)
    for start in range(_MOST_STARTS):
        content = manifest_bytes(folder)
        try:
            manifest = parse_manifest(content, folder / MANIFEST)
            _check_expected(folder, manifest, expected_digest)
            with _opened(folder, manifest) as files:
                return use(files)
        except CustomerError:
            if start == _MOST_STARTS - 1 or manifest_bytes(folder) == content:
                raise
    raise AssertionError  # not reached


def read_packed(contents: Mapping[str, bytes], use: Callable[[ModelFiles], _T]) -> _T:
    """Give the files of a model that came as bytes to a function.

    Parameters
    ----------
    contents : mapping of str to bytes
        All files by name, ``model.json`` too.
    use : callable
        Takes the files.

    Raises
    ------
    CustomerError
        If they are no sound model.
    """
    manifest = parse_manifest(contents.get(MANIFEST, b""), PACKED / MANIFEST)
    streams = {}
    for name, listed in manifest.files.items():
        content = contents.get(name)
        if not isinstance(content, bytes):
            raise _missing(PACKED / name)
        _check_size(PACKED / name, len(content), listed)
        streams[name] = io.BytesIO(content)  # shares the memory
    return use(ModelFiles(PACKED, manifest, streams))


def model_manifest(folder: PathLike) -> Manifest:
    """As `manifest.read_manifest`, and of an archive too."""
    folder = Path(folder)
    if not is_archive(folder):
        return read_manifest(folder)
    with ModelArchive(folder) as archive:
        return parse_manifest(archive.kept[MANIFEST], folder / MANIFEST)


def _read_archive(
    path: Path, use: Callable[[ModelFiles], _T], expected_digest: Optional[str]
) -> _T:
    with ModelArchive(path) as archive:
        manifest = parse_manifest(archive.kept[MANIFEST], path / MANIFEST)
        _check_expected(path, manifest, expected_digest)
        for name, listed in manifest.files.items():
            if name not in archive.sizes:
                raise _missing(path / name)
            _check_size(path / name, archive.sizes[name], listed)
        _check_room(path, manifest, archive)
        with archive.unpacked(manifest.files) as streams:
            return use(ModelFiles(path, manifest, streams))


def _check_room(path: Path, manifest: Manifest, archive: ModelArchive) -> None:
    """See that no more is unpacked than the hyperparameters ask for."""
    name = manifest.hyperparameters
    if name not in archive.kept:
        raise CustomerError(
            f"{path / name} is named in another way than training names hyperparameters; {DAMAGED}."
        )
    files = ModelFiles(path, manifest, {name: io.BytesIO(archive.kept[name])})
    wanted = file_size(parameter_shapes(files.hyperparameters()))
    found = manifest.files[manifest.parameters].size
    if found > wanted:
        raise CustomerError(
            f"{path / manifest.parameters} has {found} bytes, but the hyperparameters ask for "
            f"{wanted}; {DAMAGED}."
        )


def check_model(folder: PathLike) -> None:
    """Check all that can be checked without MXNet and without reading all parameters.

    Raises
    ------
    CustomerError
        If the folder holds no sound model.
    """

    def check(files: ModelFiles) -> None:
        hyperparameters = files.hyperparameters()
        files.parameters(parameter_shapes(hyperparameters))
        files.inputs(hyperparameters)
        files.metrics()
        files.vocabularies()
        files.check_indexes(hyperparameters)
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
        raise _missing(path) from None
    except OSError as error:
        raise CustomerError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        _check_size(path, stream.seek(0, io.SEEK_END), listed)
    except CustomerError:
        stream.close()
        raise
    return stream


def _missing(path: Path) -> CustomerError:
    return CustomerError(
        f"{path} is missing, though {MANIFEST} lists it; copy the whole model directory."
    )


def _check_size(path: Path, size: int, listed: ListedFile) -> None:
    if size != listed.size:
        raise CustomerError(
            f"{path} has {size} bytes instead of {listed.size}; the file is cut off or damaged: "
            "copy or train the model again."
        )


def _check_expected(place: Path, manifest: Manifest, expected_digest: Optional[str]) -> None:
    if expected_digest not in (None, manifest.digest):
        raise CustomerError(
            f"{place} holds another model than before: its {MANIFEST} was replaced; train into a "
            "folder of its own, and start a server anew to serve another model."
        )
