# SPDX-License-Identifier: Apache-2.0
"""Bytes to instances and answers to bytes: the inference formats, without knowing HTTP."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Optional, Union

import numpy as np
import orjson

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import INPUTS, check_list, pack_lists
from object2vec.data.repeated_keys import may_repeat, repeated_key, repeated_sentence
from object2vec.errors import AlgorithmError, CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.serving.media_types import JSON, JSON_LINES, untyped_body
from object2vec.serving.mistaken_bodies import IS_DOCUMENT, likeness, mistake, mistaken_string
from object2vec.text import names, shown

if TYPE_CHECKING:
    from object2vec.serving.model import Model

# A chunk of a stream stays within both, so that memory does not grow with the input.
_CHUNK_BYTES = 1 << 20
_CHUNK_LINES = 1024
_PIECE_ROWS = 256


class UnreadableBodyError(CustomerError):
    """The body, or a line of it, is not in the format that it was read in."""


@dataclass(frozen=True, eq=False)
class Group:
    """The instances of a request that hold the same inputs.

    Parameters
    ----------
    positions : numpy.ndarray
        int64 ``(k,)``, where these instances stand in the request.
    in0, in1 : TokenLists, optional
        k lists each; None for an input that these instances lack.
    """

    positions: np.ndarray
    in0: Optional[TokenLists]
    in1: Optional[TokenLists]


@dataclass(frozen=True, eq=False)
class Request:
    """`count` instances, sorted into groups by the inputs that they hold."""

    count: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of a request.

    Parameters
    ----------
    count : int
        Number of instances.
    parts : tuple of (numpy.ndarray, str, numpy.ndarray)
        For each group its positions ``(k,)``, the key of its values (``scores`` or
        ``embeddings``) and the values, float32 ``(k, width)``.
    """

    count: int
    parts: tuple[tuple[np.ndarray, str, np.ndarray], ...]


def parse_body(
    body: Union[str, bytes, bytearray], media_type: str, hyperparameters: Hyperparameters
) -> Request:
    """Parse a whole request body.

    Parameters
    ----------
    body : str, bytes or bytearray
        ``{"instances": [...]}`` for `JSON`, an instance a line for `JSON_LINES`.
    media_type : str
        `JSON` or `JSON_LINES`.
    hyperparameters : Hyperparameters
        Of the model; they hold the vocabulary sizes.

    Raises
    ------
    CustomerError
        Names the instance (or line), the field, what was found and what would be right; an
        `UnreadableBodyError` where it is the body as a whole.
    """
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    if media_type == JSON_LINES:
        return _join([parse_lines(*chunk) for chunk in _line_chunks(data, hyperparameters)])
    return _parse_json(data, hyperparameters)


def parse_lines(
    lines: Sequence[bytes], hyperparameters: Hyperparameters, first_line: int = 1
) -> Request:
    """Parse one JSON object a line; blank lines are skipped but counted.

    Parameters
    ----------
    lines : sequence of bytes
        Lines with or without their line ends.
    hyperparameters : Hyperparameters
        Of the model.
    first_line : int, default 1
        Number of the first line, for error texts.

    Raises
    ------
    CustomerError
        Names the line.
    """
    instances: list[Any] = []
    numbers: list[int] = []
    for number, line in enumerate(lines, first_line):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        try:
            instance = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            begins = first_line == 1 and not instances
            found = mistake(line) if begins else None
            like = likeness(b"\n".join(lines[:_CHUNK_LINES])) if begins and not found else ""
            text = f"line {number} is not valid JSON: {_reason(error)}{like}"
            raise UnreadableBodyError(
                f"The body {found} (line {number})." if found else text
            ) from None
        repeated = _repeated_input(instance, line)
        if repeated is not None:
            raise CustomerError(f"{repeated_sentence(repeated)} (line {number})")
        instances.append(instance)
        numbers.append(number)
    return group_instances(
        instances, hyperparameters, lambda i: f"line {numbers[i]}", f"; this {IS_DOCUMENT}"
    )


def read_requests(stream: BinaryIO, hyperparameters: Hyperparameters) -> Iterator[Request]:
    """Parse a stream of JSON Lines in chunks of bounded size, in order.

    Lines are handed on as they arrive, so that a slow writer is answered at once, and those before
    a wrong one are handed on before its error.

    Parameters
    ----------
    stream : BinaryIO
        A buffered binary stream.
    hyperparameters : Hyperparameters
        Of the model.
    """
    first_line = 1
    for lines in _arriving_lines(stream):
        for start in range(0, len(lines), _CHUNK_LINES):
            part = lines[start : start + _CHUNK_LINES]
            try:
                request = parse_lines(part, hyperparameters, first_line)
            except CustomerError as error:
                right = _right_lines(part, hyperparameters)
                yield parse_lines(right, hyperparameters, first_line)
                raise error
            first_line += len(part)
            if request.count:
                yield request


def _right_lines(lines: list[bytes], hyperparameters: Hyperparameters) -> list[bytes]:
    """The lines before the first wrong one."""
    for position, line in enumerate(lines):
        try:
            parse_lines([line], hyperparameters)
        except CustomerError:
            return lines[:position]
    return lines


def _arriving_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield whole lines as they arrive; the parts of a long one are joined once, at its end."""
    read = getattr(stream, "read1", stream.read)
    begun = bytearray()
    while data := read(_CHUNK_BYTES):
        *lines, rest = data.split(b"\n")
        if not lines:
            begun += rest
            continue
        lines[0] = bytes(begun) + lines[0]
        begun = bytearray(rest)
        yield lines
    if begun:
        yield [bytes(begun)]


def group_instances(
    instances: Sequence[Any],
    hyperparameters: Hyperparameters,
    name: Callable[[int], str] = "instance {}, counting from 0".format,
    of_document: str = "",
) -> Request:
    """Check instances and sort them into groups by the inputs that they hold.

    Parameters
    ----------
    instances : sequence
        Mappings with ``in0``, ``in1`` or both; other keys are ignored.
    hyperparameters : Hyperparameters
        Of the model.
    name : callable
        Names the instance at a position, for error texts.
    of_document : str
        What the error adds of an instance that holds instances itself.

    Raises
    ------
    CustomerError
        Names an instance that is not sound, the field and the reason.
    """
    positions: dict[tuple[bool, bool], list[int]] = {}
    for position, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            found = mistaken_string(instance)
            text = f"must be an object with in0, in1 or both, found {shown(instance)}"
            raise CustomerError(f"An instance {found or text} ({name(position)})")
        held = ("in0" in instance, "in1" in instance)
        if held == (False, False):
            hint = of_document if "instances" in instance else ""
            raise CustomerError(
                "An instance must hold in0 and in1 for scores, or one of them for its embedding, "
                f"found {shown(list(instance))}{hint} ({name(position)})"
            )
        positions.setdefault(held, []).append(position)
    groups = []
    for held, members in positions.items():
        lists: list[Optional[TokenLists]] = [None, None]
        for side in (0, 1):
            if held[side]:
                field = INPUTS[side]
                values = [instances[position][field] for position in members]
                vocab_size = hyperparameters.encoders[side].vocab_size
                lists[side] = _checked_lists(values, field, vocab_size, members, name)
        groups.append(Group(np.array(members, dtype=np.int64), lists[0], lists[1]))
    return Request(len(instances), tuple(groups))


def infer(
    request: Request, predictor: Model, max_seq_lens: Optional[tuple[int, int]] = None
) -> Answer:
    """Answer a request: scores where both inputs are held, the embedding where one is.

    Parameters
    ----------
    request : Request
    predictor : Predictor
        A loaded model, or what takes its place.
    max_seq_lens : tuple of int, optional
        The encoders' maximum lengths for this request.
    """
    parts = []
    for group in request.groups:
        if group.in0 is not None and group.in1 is not None:
            key, values = "scores", predictor.scores(group.in0, group.in1, max_seq_lens)
        else:
            side = 0 if group.in0 is not None else 1
            lists = group.in0 if group.in0 is not None else group.in1
            assert lists is not None
            limit = None if max_seq_lens is None else max_seq_lens[side]
            key, values = "embeddings", predictor.embeddings(side, lists, limit)
        rows = np.ascontiguousarray(values, dtype=np.float32)
        parts.append((group.positions, key, rows.reshape(len(group.positions), -1)))
    return Answer(request.count, tuple(parts))


def format_answer(answer: Answer, media_type: str) -> bytes:
    """Write an answer in the order of its request; a float32 survives the round trip.

    Parameters
    ----------
    answer : Answer
    media_type : str
        `JSON` gives ``{"predictions": [{"scores": [...]}, ...]}``, `JSON_LINES` an object a line,
        each ended by a line feed.
    """
    return b"".join(answer_pieces(answer, media_type))


def answer_pieces(answer: Answer, media_type: str) -> Iterator[bytes]:
    """`format_answer` piece by piece, so that a large answer is copied once."""
    rows: list[Any] = [None] * answer.count
    for positions, key, values in answer.parts:
        for position, value in zip(positions.tolist(), values):
            rows[position] = {key: value}
    if media_type == JSON:
        yield b'{"predictions":['
    for start in range(0, answer.count, _PIECE_ROWS):
        # Far faster than a call for each row.
        text = orjson.dumps(rows[start : start + _PIECE_ROWS], option=orjson.OPT_SERIALIZE_NUMPY)
        if media_type == JSON:
            yield b"," * (start > 0) + text[1:-1]
        else:
            # Between numbers, these bytes stand at a row's end only.
            yield text[1:-1].replace(b"},{", b"}\n{") + b"\n"
    if media_type == JSON:
        yield b"]}"


def _line_chunks(
    data: bytes, hyperparameters: Hyperparameters
) -> Iterator[tuple[list[bytes], Hyperparameters, int]]:
    """Cut a body into arguments for `parse_lines`: parsed values take far more room than ids."""
    start, first_line = 0, 1
    while start < len(data):
        end = data.find(b"\n", start + _CHUNK_BYTES)
        end = len(data) if end < 0 else end
        lines = data[start:end].split(b"\n")
        yield lines, hyperparameters, first_line
        start, first_line = end + 1, first_line + len(lines)


def _join(requests: Sequence[Request]) -> Request:
    if len(requests) == 1:
        return requests[0]
    kinds: dict[tuple[bool, bool], list[Group]] = {}
    count = 0
    for request in requests:
        for group in request.groups:
            moved = Group(group.positions + count, group.in0, group.in1)
            kinds.setdefault((group.in0 is None, group.in1 is None), []).append(moved)
        count += request.count
    groups = []
    for members in kinds.values():
        positions = np.concatenate([group.positions for group in members])
        in0, in1 = (_join_lists([getattr(group, field) for group in members]) for field in INPUTS)
        groups.append(Group(positions, in0, in1))
    return Request(count, tuple(groups))


def _join_lists(blocks: Sequence[Optional[TokenLists]]) -> Optional[TokenLists]:
    lists = [block for block in blocks if block is not None]
    if not lists:
        return None
    tokens = np.concatenate([block.tokens for block in lists])
    return TokenLists.from_lengths(tokens, np.concatenate([block.lengths for block in lists]))


def _parse_json(data: bytes, hyperparameters: Hyperparameters) -> Request:
    wanted = 'application/json means {"instances": [{"in0": [...], "in1": [...]}, ...]}'
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        found = mistake(data) or f"is not valid JSON: {_reason(error)}; {wanted}"
        if not data.strip():
            found = f"is empty; {wanted}"
        if untyped_body(data) == JSON_LINES:
            found = f"is JSON Lines, whose Content-Type is {JSON_LINES}; {wanted}"
        raise UnreadableBodyError(f"The body {found}.") from None
    if not isinstance(document, dict) or "instances" not in document:
        found = shown(document)
        if isinstance(document, dict):
            found = f"an object with the keys {names(document) or '(none)'}"
        text = mistaken_string(document) or f"holds {found} instead of instances: {wanted}"
        raise UnreadableBodyError(f"The body {text}.")
    _check_keys(data, document)
    instances = document["instances"]
    if not isinstance(instances, list):
        raise CustomerError(f"instances must be a list, not {shown(instances)}: {wanted}.")
    return group_instances(instances, hyperparameters)


def _repeated_input(instance: Any, text: bytes) -> Optional[str]:
    """The input that an instance holds twice."""
    # Where there are no strings beside the keys, each key stands there once.
    if type(instance) is not dict or text.count(b'"') == 2 * len(instance):
        return None
    if not may_repeat(text, {name: int(name in instance) for name in INPUTS}):
        return None
    found = repeated_key(text, INPUTS)
    return found[0] if found else None


def _check_keys(data: bytes, document: dict[str, Any]) -> None:
    """Refuse a body that holds one of the keys that are read twice in one object."""
    given = document["instances"]
    instances = [item for item in given if type(item) is dict] if type(given) is list else []
    expected = {name: sum(name in item for item in instances) for name in INPUTS}
    if may_repeat(data, {"instances": 1, **expected}):
        repeated = repeated_key(data, ("instances", *INPUTS))
        if repeated is not None:
            key, position = repeated
            raise CustomerError(f"{repeated_sentence(key)} (at character {position + 1})")


def _checked_lists(
    values: list[Any],
    field: str,
    vocab_size: int,
    positions: Sequence[int],
    name: Callable[[int], str],
) -> TokenLists:
    lists = pack_lists(values, vocab_size)
    if lists is None:
        # The search for the culprit is slow, and rarely needed.
        for position, value in zip(positions, values):
            check_list(value, field, vocab_size, partial(name, position))
        raise AlgorithmError("lists that pass each check alone cannot be packed together")
    return lists


def _reason(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg} at character {error.pos + 1}"
