# SPDX-License-Identifier: Apache-2.0
"""Vocabularies and pretrained vectors of the auxiliary channel."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import os
import pickle
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec.errors import CustomerError
from object2vec.hyperparameters import checked as hp
from object2vec.pretrained.auxiliary_channel import TokenVectors, read_auxiliary
from object2vec.pretrained.vector_files import VectorTable, read_vectors
from object2vec.pretrained.vocabularies import as_vocab, read_vocabulary

pytestmark = pytest.mark.own_way

VECTORS = {"the": [0.5, -1.0, 2e-3], "cat": [1.0, 2.0, 3.0], "été": [4.0, 5.0, 6.0]}
VOCAB = {"the": 3, "cat": 0, "été": 5, "unseen": 1}
TEXT = "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items())


def settings_of(**changes: Any) -> hp.Hyperparameters:
    values: dict[str, Any] = {
        "enc0_max_seq_len": 3,
        "enc0_vocab_size": 8,
        "enc0_network": "hcnn",
        "enc0_token_embedding_dim": 3,
        "enc0_pretrained_embedding_file": "vectors",
        "enc0_vocab_file": "vocab.json",
        "enc1_network": "hcnn",
        "enc1_max_seq_len": 3,
        "enc1_vocab_size": 8,
        "enc1_token_embedding_dim": 3,
    }
    return hp.parse({**values, **changes})[0]


def channel(folder: Path, vectors: str | bytes = TEXT, vocab: Any = None) -> Path:
    content = vectors.encode() if isinstance(vectors, str) else vectors
    (folder / "vectors").write_bytes(content)
    text = vocab if isinstance(vocab, str) else json.dumps(VOCAB if vocab is None else vocab)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    return folder


def only(vectors: TokenVectors | None) -> TokenVectors:
    assert vectors is not None
    return vectors


def expect_vectors(vectors: TokenVectors | None) -> None:
    """VECTORS stand at the ids of VOCAB, in a table of eight rows."""
    matrix = np.zeros((8, 3), np.float32)
    for word, vector in VECTORS.items():
        matrix[VOCAB[word]] = vector
    assert only(vectors).matrix.dtype == np.float32
    np.testing.assert_array_equal(only(vectors).matrix, matrix)
    assert np.flatnonzero(only(vectors).known).tolist() == [0, 3, 5]


def sentence_of(folder: Any, **changes: Any) -> str:
    with pytest.raises(CustomerError) as caught:
        read_auxiliary(folder, settings_of(**changes))
    return str(caught.value)


def test_without_files_nothing_is_read() -> None:
    auxiliary = read_auxiliary(
        None, settings_of(enc0_pretrained_embedding_file="", enc0_vocab_file="")
    )
    assert auxiliary.vectors == (None, None)
    assert auxiliary.vocabularies == (None, None)


# --------------------------------------------------------------------------------------- text files


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT[:-1],
        f"3 3\n{TEXT}",
        f"\ufeff{TEXT}",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", " \n"),
        TEXT.replace(" ", "\t"),
        TEXT.replace(" ", "  "),
        f"\n{TEXT}\n\n",
        f"other 7 8 9\n{TEXT}",
        f"{TEXT}the 9 9 9\n",
        TEXT.replace(" 0.5 -1.0 0.002", " +.5 -1. 2e-03"),
    ],
    ids=[
        "glove", "no last newline", "word2vec", "byte order mark", "crlf", "fasttext", "tabs",
        "two spaces", "blank lines", "other words", "first of two counts",
        "numbers that are no JSON",
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_text_files(tmp_path: Path, text: str, packed: bool) -> None:
    content = gzip.compress(text.encode()) if packed else text
    auxiliary = read_auxiliary(channel(tmp_path, content), settings_of())
    expect_vectors(auxiliary.vectors[0])
    assert auxiliary.vectors[1] is None
    assert auxiliary.vocabularies[1] is None


def test_odd_lines_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = (
        b"unseen 1 2\n"
        b"unseen 1 2 3 4\n"
        b"unseen\n"
        b"unseen 1  2\n"
        b"unseen 1 2 3\t4\n"
        b"unseen 1 nan 3\n"
        b"unseen 1 1e39 3\n"
        b"unseen 1 two 3\n"
        b"caf\xe9 1 2 3\n"
        b"the 9 9 9\n"
        b". . . 1 2 3\n"
    )
    with caplog.at_level(logging.INFO, "object2vec"):
        auxiliary = read_auxiliary(channel(tmp_path, TEXT.encode() + odd), settings_of())
    expect_vectors(auxiliary.vectors[0])
    found, left_out = (record.getMessage() for record in caplog.records)
    assert found == (
        "enc0: 3 of 4 words of vocab.json found in vectors (11 vectors of width 3); "
        "1 word without one and 4 ids without a word start at random"
    )
    assert left_out == (
        "Lines of vectors that were left out: 5 of a wrong width, 3 with something else than "
        "finite numbers, 1 with a word that is not UTF-8, 1 with a word that came before"
    )


def test_words_with_spaces_are_found(tmp_path: Path) -> None:
    text = f"{TEXT}. . . 7 8 9\nat name@domain.com 1 1 1\n"
    vocab = {". . .": 1, ".": 2, "at": 3, "at name@domain.com": 4}
    vectors = only(read_auxiliary(channel(tmp_path, text, vocab), settings_of()).vectors[0])
    assert np.flatnonzero(vectors.known).tolist() == [1, 4]
    assert vectors.matrix[1].tolist() == [7, 8, 9]
    assert vectors.matrix[4].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("file_width", "table_width"), [(3, 5), (5, 3), (50, 3)])
def test_another_width_is_refused(tmp_path: Path, file_width: int, table_width: int) -> None:
    text = "".join(f"{word}{' 1' * file_width}\n" for word in VECTORS)
    sentence = sentence_of(channel(tmp_path, text), enc0_token_embedding_dim=table_width)
    assert f"have width {file_width}, but the token table has width {table_width}" in sentence
    assert "enc0_token_embedding_dim" in sentence


def test_the_width_of_a_pooled_table_is_enc_dim(tmp_path: Path) -> None:
    changes = {"enc0_network": "pooled_embedding", "enc_dim": 4}
    assert "width 4: set enc_dim to 3" in sentence_of(channel(tmp_path), **changes)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no word vectors"),
        (b"the\ncat\n", "holds no word vectors"),
        (b"3 3\nthe \x00\x00\x80?\x00\x00\x00@\x00\x00@@\n", "is a binary file"),
        (
            "Other 1 2 3\nwords 1 2 3\n",
            'such as "the", "cat", "été"; it holds 2 vectors of words such as "Other", "words"',
        ),
        ("the one two three\n", "no vector for any of the 4 words"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-20], "damaged"),
        (b"PK\x03\x04 no archive", "damaged"),
    ],
)
def test_files_without_fitting_vectors_are_refused(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    text = sentence_of(channel(tmp_path, content))
    assert sentence in text
    assert str(tmp_path / "vectors") in text


# ------------------------------------------------------------------------------- gluonnlp's .npz


def save_npz(path: Path, words: list[str], matrix: np.ndarray, *, compress: bool = True) -> None:
    from object2vec.backend.mxnet_import import mx  # isort: skip
    from gluonnlp.embedding import TokenEmbedding

    embedding = TokenEmbedding(
        unknown_token=None,
        init_unknown_vec=None,
        idx_to_token=words,
        idx_to_vec=mx.nd.array(matrix),
    )
    with path.open("wb") as stream:
        embedding.serialize(stream, compress=compress)


@pytest.mark.parametrize("compress", [True, False])
def test_what_gluonnlp_serializes_is_read(tmp_path: Path, compress: bool) -> None:
    words = [*VECTORS, "other"]
    matrix = np.array([*VECTORS.values(), [7, 8, 9]])
    channel(tmp_path)
    save_npz(tmp_path / "vectors", words, matrix, compress=compress)
    expect_vectors(read_auxiliary(tmp_path, settings_of()).vectors[0])


def test_every_word_of_a_large_npz_keeps_its_vector(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    # "|" and "O8" stand in the pickle's own head too, and one word alone is stored differently.
    words = ["|", "O8", "b", "numpy", "dtype", *(f"w{i}" for i in range(9000))]
    matrix = rng.normal(size=(len(words), 3)).astype(np.float32)
    vocab = {word: position for position, word in enumerate(reversed(words))}
    channel(tmp_path, vocab=vocab)
    for count in (len(words), 1):
        save_npz(tmp_path / "vectors", words[:count], matrix[:count])
        auxiliary = read_auxiliary(tmp_path, settings_of(enc0_vocab_size=len(words)))
        vectors = only(auxiliary.vectors[0])
        assert vectors.known.sum() == count
        np.testing.assert_array_equal(vectors.matrix[::-1][:count], matrix[:count])


@pytest.mark.parametrize("writer", ["cat", "gzip -c"])
@pytest.mark.parametrize("archive", [True, False])
def test_vectors_may_come_from_a_pipe(
    tmp_path: Path, rng: np.random.Generator, writer: str, archive: bool
) -> None:
    words = [f"w{i}" for i in range(4000)]
    matrix = rng.normal(size=(len(words), 3)).astype(np.float32)
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    if archive:
        save_npz(file, words, matrix)
    else:
        file.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in zip(words, matrix)))
    ids = {word.encode(): position for position, word in enumerate(words)}
    table = VectorTable(ids, len(words), 3)
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"{writer} {file} >{pipe}"]) as process:
        try:
            read_vectors(pipe, table, "enc_dim")
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert table.known.all()
    np.testing.assert_array_equal(table.matrix, matrix)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_strings_of_every_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    channel(tmp_path)
    write_npz(tmp_path / "vectors", np.array([*VECTORS], dtype=object), protocol)
    expect_vectors(read_auxiliary(tmp_path, settings_of()).vectors[0])


def write_npz(path: Path, words: np.ndarray, protocol: int = 3) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("idx_to_token.npy", "w") as member:
            if words.dtype == object:
                header = {"descr": "|O", "fortran_order": False, "shape": words.shape}
                np.lib.format.write_array_header_1_0(member, header)
                pickle.dump(words, member, protocol=protocol)
            else:
                np.save(member, words)
        with archive.open("idx_to_vec.npy", "w") as member:
            np.save(member, np.array([*VECTORS.values()], dtype=np.float64))


def test_fixed_width_strings_are_read(tmp_path: Path) -> None:
    channel(tmp_path)
    write_npz(tmp_path / "vectors", np.array([*VECTORS]))
    expect_vectors(read_auxiliary(tmp_path, settings_of()).vectors[0])
    write_npz(tmp_path / "vectors", np.array([word.encode() for word in VECTORS]))
    expect_vectors(read_auxiliary(tmp_path, settings_of()).vectors[0])


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_in_an_npz_is_run(tmp_path: Path) -> None:
    channel(tmp_path)
    trap = tmp_path / "trap"
    write_npz(tmp_path / "vectors", np.array(["the", Harmful(trap), "cat"], dtype=object))
    assert "idx_to_token holds something else than strings" in sentence_of(tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": np.zeros(3)}, "zip archive without idx_to_token.npy and idx_to_vec.npy"),
        ({"idx_to_token": np.array([1, 2]), "idx_to_vec": np.zeros((2, 3))}, "list of strings"),
        ({"idx_to_token": np.array(["a"]), "idx_to_vec": np.zeros((2, 3))}, "matrix of 1 rows"),
        ({"idx_to_token": np.array(["a"]), "idx_to_vec": np.zeros((1, 3), int)}, "rows of floats"),
        ({"idx_to_token": np.array(["a"]), "idx_to_vec": np.zeros((1, 4))}, "have width 4"),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, arrays: Any, sentence: str) -> None:
    channel(tmp_path)
    with (tmp_path / "vectors").open("wb") as stream:
        np.savez(stream, **arrays)
    assert sentence in sentence_of(tmp_path)


def npy(descr: str, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def write_members(path: Path, tokens: bytes, vectors: bytes, method: int = 8) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("idx_to_token.npy", tokens)
        archive.writestr("idx_to_vec.npy", vectors)


ONE_WORD, ONE_VECTOR = npy("<U3", (1,), "the".encode("utf-32-le")), npy("<f4", (1, 3), bytes(12))
HEADER = b"\x93NUMPY\1\0%b%b"


@pytest.mark.parametrize(
    ("tokens", "vectors", "sentence"),
    [
        (b"", ONE_VECTOR, "holds no arrays as NumPy writes them"),
        (b"\x93NUMPY\2\0\xff\xff\xff\x7f", ONE_VECTOR, "has 2147483647 bytes"),
        (HEADER % (b"\xe8\x03", b"(" * 1000), ONE_VECTOR, 'header of an array is "((('),
        (HEADER % (b"\x0a\0", b"{'descr': '"), ONE_VECTOR, "header of an array is"),
        (npy("<U3", (1,)).replace(b"(1,)", b"(" + b"9" * 18 + b",)"), ONE_VECTOR, "matrix of 999"),
        (npy("<U3", (2,), bytes(24)), npy("<f4", (2, 3), bytes(12)), "idx_to_vec ends too early"),
        (npy("<U3", (2,), bytes(12)), npy("<f4", (2, 3), bytes(24)), "cannot hold 2 strings"),
        (npy("<U99999999", (1,)), ONE_VECTOR, "cannot hold 1 strings"),
        (npy("<U3", (1,), b"\xff" * 12), ONE_VECTOR, "no vector for any"),
        (npy("|O", (1,), b"\x80\3]X\xff\xff\xff\x7f"), ONE_VECTOR, "2147483647 bytes is too large"),
        (npy("|O", (1,), b"q\1" * 20_000), ONE_VECTOR, "idx_to_token is too large"),
        (npy("|O", (1,), b"I" + b"9" * 5000 + b"\n"), ONE_VECTOR, "no .npz file of gluonnlp"),
        (npy("|O", (1,), b"\x80\3]\x85"), ONE_VECTOR, "must hold 1 strings, found 0"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_damaged_arrays_are_refused(
    tmp_path: Path, tokens: bytes, vectors: bytes, sentence: str
) -> None:
    channel(tmp_path)
    write_members(tmp_path / "vectors", tokens, vectors)
    text = sentence_of(tmp_path)
    assert sentence in text and len(text) < 500


def test_archives_packed_as_numpy_packs_nothing_are_refused(tmp_path: Path) -> None:
    channel(tmp_path)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        write_members(tmp_path / "vectors", ONE_WORD, ONE_VECTOR, method)
        assert "packed as NumPy packs nothing" in sentence_of(tmp_path)
    write_members(tmp_path / "vectors", ONE_WORD, ONE_VECTOR)
    data = bytearray((tmp_path / "vectors").read_bytes())
    data[data.rindex(b"PK\1\2") + 24 : data.rindex(b"PK\1\2") + 28] = b"\xff\xff\xff\x7f"
    (tmp_path / "vectors").write_bytes(data)
    assert "cannot have the size of 2147483647 bytes" in sentence_of(tmp_path)


def test_whatever_bytes_change_the_error_is_ours(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    channel(tmp_path)
    path = tmp_path / "vectors"
    write_npz(path, np.array([*VECTORS], dtype=object))
    sound = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [archive.read("idx_to_token.npy"), archive.read("idx_to_vec.npy")]
    for turn in range(600):
        # Half of the changes are inside, where the archive's own sums do not betray them.
        parts = [bytearray(part) for part in ([sound] if turn % 2 else members)]
        part = parts[turn // 2 % len(parts)]
        for place in random.integers(len(part), size=1 + turn % 3):
            part[place] = random.choice([0, 1, 0x39, 0x5B, 0xFF, random.integers(256)])
        if turn % 2:
            path.write_bytes(part)
        else:
            write_members(path, bytes(parts[0]), bytes(parts[1]))
        with contextlib.suppress(CustomerError):
            read_auxiliary(tmp_path, settings_of())


def test_a_line_of_text_without_end_is_refused(tmp_path: Path) -> None:
    text = TEXT.encode() + b"word" + b" 1" * (1 << 23)
    sentence = sentence_of(channel(tmp_path, gzip.compress(text)))
    assert sentence.startswith("Line 4 of ") and "longer than 16 MiB" in sentence


# ------------------------------------------------------------------------------------- vocabularies


def test_a_vocabulary_travels_as_json(tmp_path: Path) -> None:
    from gluonnlp import Vocab

    auxiliary = read_auxiliary(channel(tmp_path), settings_of())
    vocab = auxiliary.vocabularies[0]
    assert vocab is not None
    for copy in (vocab, Vocab.from_json(vocab.to_json())):
        assert {word: copy[word] for word in VOCAB} == VOCAB
        assert {copy.idx_to_token[token]: token for token in VOCAB.values()} == VOCAB
        assert copy.idx_to_token[2] == "<no word 2>"
        assert len(copy) == 6
        with pytest.raises(KeyError):
            copy["never seen"]


def test_any_words_survive_as_a_vocabulary(rng: np.random.Generator) -> None:
    from gluonnlp import Vocab

    words = ["", " ", "<unk>", "<pad>", "<bos>", "<no word 7>", '"', "\ud800", "☃", "a b", "null"]
    words += [f"w{i}" for i in range(500)]
    ids = rng.choice([i for i in range(2000) if i != 7], size=len(words), replace=False).tolist()
    expected = dict(zip(words, ids))
    vocab = as_vocab(expected)
    copy = Vocab.from_json(vocab.to_json())
    assert len(copy) == max(ids) + 1
    assert copy.idx_to_token == vocab.idx_to_token
    assert {word: copy[word] for word in words} == expected
    assert [copy.idx_to_token[token] for token in ids] == words


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is broken JSON"),
        ("[" * 100000, "is broken JSON"),
        ('{"a": ' * 1000, "is broken JSON"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", 'gives "a" the id [[[['),
        ('{"a": ' + "9" * 5000 + "}", "vocabulary file"),
        ('{"%s": 9}' % ("k" * 5000), 'such as "kkk'),
        ('{"a\\n\\u202e": 9}', r'such as "a\n\u202e" with the id 9'),
        ("[1, 2]", "must hold one JSON object"),
        ("{}", "must hold one JSON object"),
        ('{"a": 1, "b": 1}', 'gives the id 1 to both "a" and "b"'),
        ('{"a": 1, "b": 2, "a": 3}', 'holds "a" twice'),
        (
            '{"a": 8}',
            'holds only words whose ids are outside the token table, such as "a" with the '
            "id 8; ids are integers from 0 to 7 (vocab_size=8)",
        ),
        ('{"a": -1, "b": 9}', "holds only words whose ids are outside the token table"),
        ('{"a": 9, "b": 1, "a": 2}', 'holds "a" twice'),
        ('{"a": 1, "b": 2, "a": 9}', 'holds "a" twice'),
        ('{"a": 9, "b": 2.0}', 'gives "b" the id 2.0; ids are integers from 0 to 7'),
        ('{"a": 1.0}', 'gives "a" the id 1.0'),
        ('{"a": true}', 'gives "a" the id true'),
        ('{"a": "1"}', 'gives "a" the id "1"'),
        ('{"a": {"b": 1}}', 'gives "a" the id'),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_bad_vocabularies_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    found = sentence_of(channel(tmp_path, vocab=text))
    assert sentence in found
    assert str(tmp_path / "vocab.json") in found


def test_words_outside_the_table_are_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = {"sun": 0, "moon": 1, "<unk>": 8, "star": 2, "x": 8, "y": -1, "z": 10**4000}
    channel(tmp_path, "sun 1 2 3\n<unk> 4 5 6\n", words)
    auxiliary = read_auxiliary(tmp_path, settings_of())
    assert np.flatnonzero(only(auxiliary.vectors[0]).known).tolist() == [0]
    vocabulary = auxiliary.vocabularies[0]
    assert vocabulary is not None
    assert vocabulary.token_to_idx == {"sun": 0, "moon": 1, "star": 2}
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "Left out of the vocabulary vocab.json: 4 words whose ids are outside the token table, "
        'such as "<unk>" with the id 8; ids are integers from 0 to 7 (vocab_size=8)'
    ]


@pytest.mark.parametrize("tied", [False, True])
def test_a_file_for_both_sides_is_warned_of_once(
    tmp_path: Path, tied: bool, caplog: pytest.LogCaptureFixture
) -> None:
    channel(tmp_path, vocab={**VOCAB, "<unk>": 8})
    sides = {"enc0_pretrained_embedding_file": "", "tied_token_embedding_weight": tied}
    auxiliary = read_auxiliary(
        tmp_path, settings_of(**sides, enc1_vocab_file="" if tied else "vocab.json")
    )
    assert auxiliary.vocabularies[0] is auxiliary.vocabularies[1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 word whose ids are outside" in caplog.text


def test_tables_of_two_sizes_leave_out_what_each_has_no_room_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    channel(tmp_path, vocab={"a": 1, "b": 5, "c": 9})
    auxiliary = read_auxiliary(
        tmp_path,
        settings_of(
            enc0_pretrained_embedding_file="", enc1_vocab_file="vocab.json", enc1_vocab_size=4
        ),
    )
    first, second = auxiliary.vocabularies
    assert first is not None and second is not None
    assert (first["b"], "c" in first.token_to_idx) == (5, False)
    assert (second["a"], "b" in second.token_to_idx) == (1, False)
    assert [record.message.split(":")[1][:8] for record in caplog.records] == [
        " 1 word ",
        " 2 words",
    ]


def test_a_vocabulary_may_be_gzipped_but_not_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_bytes(gzip.compress(json.dumps(VOCAB).encode()))
    assert read_vocabulary(path, 8) == VOCAB
    path.write_bytes(gzip.compress(json.dumps(VOCAB).encode())[:-9])
    with pytest.raises(CustomerError, match="damaged"):
        read_vocabulary(path, 8)
    path.write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(CustomerError, match="not UTF-8"):
        read_vocabulary(path, 8)


# ------------------------------------------------------------------------------------ the two sides


def test_a_vocabulary_alone_travels_without_vectors(tmp_path: Path) -> None:
    auxiliary = read_auxiliary(channel(tmp_path), settings_of(enc0_pretrained_embedding_file=""))
    assert auxiliary.vectors == (None, None)
    assert auxiliary.vocabularies[0]["cat"] == 0  # type: ignore[index]
    assert auxiliary.vocabularies[1] is None


def test_equal_files_are_shared_and_different_ones_are_not(tmp_path: Path) -> None:
    channel(tmp_path)
    (tmp_path / "second.json").write_text('{"cat": 7}')
    both = {"enc1_pretrained_embedding_file": "vectors"}
    auxiliary = read_auxiliary(tmp_path, settings_of(**both, enc1_vocab_file="vocab.json"))
    assert auxiliary.vectors[0] is auxiliary.vectors[1]
    assert auxiliary.vocabularies[0] is auxiliary.vocabularies[1]
    auxiliary = read_auxiliary(tmp_path, settings_of(**both, enc1_vocab_file="second.json"))
    expect_vectors(auxiliary.vectors[0])
    assert np.flatnonzero(only(auxiliary.vectors[1]).known).tolist() == [7]
    assert auxiliary.vocabularies[1].token_to_idx["cat"] == 7  # type: ignore[union-attr]


@pytest.mark.parametrize("side", [0, 1])
def test_with_tied_tables_one_side_serves_both(tmp_path: Path, side: int) -> None:
    names = {"pretrained_embedding_file": "vectors", "vocab_file": "vocab.json"}
    changes = {
        f"enc{number}_{name}": value if number == side else ""
        for number in (0, 1)
        for name, value in names.items()
    }
    auxiliary = read_auxiliary(
        channel(tmp_path), settings_of(**changes, tied_token_embedding_weight="true")
    )
    expect_vectors(auxiliary.vectors[0])
    assert auxiliary.vectors[0] is auxiliary.vectors[1]
    assert auxiliary.vocabularies[0] is auxiliary.vocabularies[1]
    untied = read_auxiliary(tmp_path, settings_of(**changes))
    assert untied.vectors[1 - side] is None


def test_missing_files_are_named_with_what_is_there(tmp_path: Path) -> None:
    assert sentence_of(None) == (
        "enc0_vocab_file=vocab.json is a file of the auxiliary channel, but the job has no "
        "auxiliary channel"
    )
    assert "is no folder" in sentence_of(tmp_path / "nowhere")
    assert sentence_of(tmp_path).endswith(f"channel {tmp_path}, which holds no file")
    (tmp_path / "vocab.json").write_text(json.dumps(VOCAB))
    assert sentence_of(tmp_path) == (
        "enc0_pretrained_embedding_file=vectors is not in the auxiliary channel "
        f"{tmp_path}, which holds vocab.json"
    )


def test_vectors_need_a_vocabulary(tmp_path: Path) -> None:
    sentence = sentence_of(channel(tmp_path), enc0_vocab_file="")
    assert sentence.startswith("enc0_pretrained_embedding_file=vectors needs enc0_vocab_file")


def test_real_glove_vectors(tmp_path: Path) -> None:
    data = os.environ.get("OBJECT2VEC_DATA")
    if not data:
        pytest.skip("OBJECT2VEC_DATA names no folder of real data")
    path = Path(data) / "glove" / "glove.6B.50d.subset.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        lines = [line.split(" ") for line in stream]
    rows = {fields[0]: len(lines) - position for position, fields in enumerate(lines)}
    (tmp_path / "vocab.json").write_text(json.dumps(rows))
    os.symlink(path, tmp_path / path.name)
    hyperparameters = settings_of(
        enc0_pretrained_embedding_file=path.name,
        enc0_token_embedding_dim=50,
        enc0_vocab_size=len(lines) + 1,
    )
    vectors = only(read_auxiliary(tmp_path, hyperparameters).vectors[0])
    assert vectors.known.sum() == len(lines)
    expected = np.array([fields[1:] for fields in lines], dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(vectors.matrix[:0:-1], expected)
