# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of Hugging Face: ids as the package gives them, hostile files in one sentence."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import tokenizers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from object2vec.errors import CustomerError
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs import Column, Inputs, Label, Side, TokenIds, Vocabulary
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs, read_inputs, write_inputs
from object2vec.raw_values.lookups import lookups_in
from object2vec.raw_values.tokenizer_files import LONGEST_TEXT, TokenizerFile, read_tokenizer

TEXTS = [
    "A soccer game, with several people!", "The DOG runs; the cat sat.", "Ünïcode – déjà vu 東京",
    "unbelievable unknowables", "12345 12,345.67", "", "   ", "[CLS] typed [SEP]", "\ud83d half",
    "🙂🙂 smile",
]  # fmt: skip
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]


def word_piece() -> Tokenizer:
    """As BERT has it, with padding and truncation, which are not for us."""
    found = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    found.train_from_iterator(TEXTS[:5], trainer)
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", found.token_to_id("[CLS]")), ("[SEP]", 2)],
    )
    found.enable_padding(length=64)
    found.enable_truncation(3)
    return found


def byte_pairs() -> Tokenizer:
    """As GPT-2 has it, with the dropout of training."""
    found = Tokenizer(models.BPE(dropout=0.5))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    found.train_from_iterator(TEXTS[:5], trainer)
    return found


def unigrams() -> Tokenizer:
    """As T5 has it."""
    found = Tokenizer(models.Unigram())
    found.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    )
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    found.train_from_iterator(TEXTS[:5], trainer)
    return found


def whole_words() -> Tokenizer:
    found = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    found.normalizer = normalizers.Lowercase()
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL[::-1], show_progress=False)
    found.train_from_iterator(TEXTS[:5], trainer)
    return found


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": word_piece, "BPE": byte_pairs, "Unigram": unigrams, "WordLevel": whole_words,
}  # fmt: skip


def bytes_of(tokenizer: Tokenizer) -> bytes:
    return str(tokenizer.to_str()).encode()


def expected_ids(tokenizer: Tokenizer, text: str, special: bool = False) -> list[int]:
    """What the package gives, one text by itself."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if hasattr(tokenizer.model, "dropout"):
        tokenizer.model.dropout = None
    text = text.encode(errors="replace").decode()
    return list(tokenizer.encode(text, add_special_tokens=special).ids)


def inputs_of(file: TokenizerFile, special: bool = False, further: bool = False) -> Inputs:
    """A text by itself, or as the second column of a side."""
    text = Column("plot", "text", "in0.1", tokenizer=file.name, special_tokens=special)
    first = (Column("film", "id", "in0.0"),) if further else ()
    vocabularies: dict[str, Any] = {"in0.1": TokenIds(file, counts_missing=further)}
    if further:
        vocabularies["in0.0"] = Vocabulary(("Heat", "Big"), True)
    vocabularies["in1.0"] = Vocabulary(("Drama",))
    return Inputs(
        Side((*first, text), 9), Side((Column("genre", "tags", "in1.0"),)), Label("none"),
        vocabularies,
    )  # fmt: skip


def lists_of(inputs: Inputs, values: list[Any]) -> list[list[int]]:
    lists = encode_side(inputs, "in0", values)
    return [part.tolist() for part in np.split(lists.tokens, lists.offsets[1:-1])]


@pytest.mark.parametrize("special", [False, True], ids=["plain", "special"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_package(kind: str, special: bool) -> None:
    tokenizer = KINDS[kind]()
    file = TokenizerFile(bytes_of(tokenizer))
    assert file.size == tokenizer.get_vocab_size(with_added_tokens=True)
    unknown = {"WordPiece": "[UNK]", "Unigram": "<unk>", "WordLevel": "[UNK]"}.get(kind)
    assert file.unknown == (None if unknown is None else tokenizer.token_to_id(unknown))
    expected = [expected_ids(tokenizer, text, special) for text in TEXTS]
    given = [text for text in TEXTS if text]
    assert file.lists(given, special) == [ids for ids, text in zip(expected, TEXTS) if text]
    assert file.lists(given, special) == file.lists(given, special)
    inputs = inputs_of(file, special)
    # an empty text is a missing one
    assert lists_of(inputs, TEXTS) == [ids if text else [] for ids, text in zip(expected, TEXTS)]
    assert inputs.vocab_size("in0") == file.size


def test_beside_other_columns_ids_follow_theirs() -> None:
    tokenizer = word_piece()
    file = TokenizerFile(bytes_of(tokenizer))
    inputs = inputs_of(file, further=True)
    rows = [{"film": "Big", "plot": "the 狼 dog"}, {"film": "x"}, {"plot": "dog"}]
    ids = [4 + token for token in expected_ids(tokenizer, "the 狼 dog")]
    dog = [4 + token for token in expected_ids(tokenizer, "dog")]
    assert lists_of(inputs, rows) == [[3, *ids], [0, 4 + file.size], [1, *dog]]
    assert inputs.vocab_size("in0") == 4 + file.size + 1
    found = lookups_in(inputs, "in0", encode_side(inputs, "in0", rows))
    # the Han sign, and the film that nobody saw
    unknown = expected_ids(tokenizer, "the 狼 dog").count(0)
    assert (found.unseen, unknown) == (2, 1)
    assert inputs.unseen("in0", encode_side(inputs, "in0", rows)) == 2


def test_the_file_stays_beside_its_inputs(tmp_path: Path) -> None:
    file = TokenizerFile(bytes_of(word_piece()))
    inputs = inputs_of(file, special=True)
    write_inputs(tmp_path / "inputs.json", inputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs.json", file.name]
    assert (tmp_path / file.name).read_bytes() == file.content
    again = read_inputs(tmp_path / "inputs.json")
    assert again == inputs and lists_of(again, TEXTS) == lists_of(inputs, TEXTS)
    assert json.loads(inputs_bytes(inputs))["version"] == 2
    for copied in (pickle.loads(pickle.dumps(inputs)), copy.deepcopy(inputs)):
        assert copied == inputs and lists_of(copied, TEXTS) == lists_of(inputs, TEXTS)
    (tmp_path / file.name).write_bytes(bytes_of(whole_words()))
    with pytest.raises(CustomerError, match="file of this name has another content"):
        read_inputs(tmp_path / "inputs.json")
    (tmp_path / file.name).unlink()
    with pytest.raises(CustomerError, match=rf"{file.name} cannot be read: No such file"):
        read_inputs(tmp_path / "inputs.json")
    with pytest.raises(CustomerError, match="There is no file tokenizer-"):
        parse_inputs(inputs_bytes(inputs))


CHANGES: dict[str, tuple[str, Any, str]] = {
    "size": ("size", 7, "gives 7 for vocabularies."),
    "unknown": ("unknown", None, "gives null for vocabularies."),
    "true": ("unknown", False, "gives false for vocabularies."),
    "path": ("tokenizer", "../tokenizer-0123456789ab.json", "as in tokenizer-0123456789ab.json"),
    "list": ("tokenizer", [], "as in tokenizer-0123456789ab.json"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_inputs_that_do_not_fit_the_file(change: str) -> None:
    file = TokenizerFile(bytes_of(word_piece()))
    field, value, words = CHANGES[change]
    values = json.loads(inputs_bytes(inputs_of(file)))
    values["vocabularies"]["in0.1"][field] = value
    with pytest.raises(CustomerError) as caught:
        parse_inputs(json.dumps(values).encode(), tokenizer=lambda name: file.content)
    assert words in caught.value.message
    values = json.loads(inputs_bytes(inputs_of(file)))
    values["in0"]["columns"][0]["tokenizer"] = "words-1"
    with pytest.raises(CustomerError, match=r"in0\.columns\[0\]\.tokenizer, but it should be"):
        parse_inputs(json.dumps(values).encode(), tokenizer=lambda name: file.content)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(bytes_of(word_piece())), **fields}).encode()


def model(**fields: Any) -> dict[str, Any]:
    return {**json.loads(bytes_of(word_piece()))["model"], **fields}


def precompiled(longest: int) -> dict[str, Any]:
    blob = (4).to_bytes(4, "little") + bytes(4) + b"a" * longest + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}


DOUBLING = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is broken JSON"),
    "no JSON": (lambda: b"\x80\x04pickle", "is not UTF-8 text"),
    "a list": (lambda: b"[1]", "it should be an object with a 'model'"),
    "no model": (lambda: b'{"version": "1.0"}', "it should be an object with a 'model'"),
    "of another kind": (lambda: changed(model=model(type="Nonsense")), "cannot be read"),
    "deep": (lambda: b'{"model": ' * 100_000, "nested too deeply"),
    "deep steps": (
        lambda: b'{"model": {}, "normalizer": ' + b'{"normalizers": [' * 480 + b"]}" * 480 + b"}",
        "",
    ),
    "twice": (lambda: b'{"model": {}, "model": {}}', "twice in one object"),
    "no unknown token": (lambda: changed(model=model(unk_token="[X]")), '"[X]" has no id'),
    "endless word": (
        lambda: changed(model=model(max_input_chars_per_word=10**9)), "max_input_chars_per_word",
    ),
    "long token": (lambda: changed(model=model(vocab={"[UNK]": 0, "a" * 1001: 1})), "1,000 char"),
    "huge id": (lambda: changed(model=model(vocab={"[UNK]": 0, "a": 4_000_000})), "0 to 2,999,999"),
    "no id": (lambda: changed(model=model(vocab={}), added_tokens=[]), "ids must run"),
    "doubling": (
        lambda: changed(normalizer={"type": "Sequence", "normalizers": [DOUBLING] * 40}),
        "its normaliser makes 1,099,511,627,776 characters of one",
    ),
    "empty pattern": (
        lambda: changed(normalizer={**DOUBLING, "pattern": {"Regex": ""}, "content": "x" * 200}),
        "its normaliser makes 201 characters",
    ),
    "steps": (
        lambda: changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 65}),
        "more than 64 steps",
    ),
    "pattern": (
        lambda: changed(normalizer={**DOUBLING, "pattern": {"Regex": "(a|b)" * 500}}),
        "a pattern of more than 2,000 characters",
    ),
    "broken pattern": (
        lambda: changed(normalizer={**DOUBLING, "pattern": {"Regex": "(((("}}), "cannot be read",
    ),
    "long texts of a character": (lambda: changed(normalizer=precompiled(500)), "makes 500 char"),
    "broken map": (lambda: changed(normalizer=precompiled(5)), ""),
    "many special tokens": (
        lambda: changed(post_processor={
            "type": "TemplateProcessing", "pair": [],
            "single": [{"SpecialToken": {"id": "x", "type_id": 0}}] * 200,
            "special_tokens": {"x": {"id": "x", "ids": [0], "tokens": ["[UNK]"]}},
        }),
        "adds 200 special tokens to each text",
    ),
    "copies": (
        lambda: changed(post_processor={
            "type": "TemplateProcessing", "pair": [], "special_tokens": {},
            "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 200,
        }),
        "its template repeats a text 200 times",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_hostile_or_broken_file_gives_one_sentence(case: str, tmp_path: Path) -> None:
    make, words = WRONG[case]
    path = tmp_path / "odd\n.json"
    path.write_bytes(make())
    begun = time.perf_counter()
    with pytest.raises(CustomerError) as caught:
        # what can be read has to get on with texts, too
        read_tokenizer(path).lists(["a" * LONGEST_TEXT, *TEXTS])
    assert time.perf_counter() - begun < 20
    assert words in caught.value.message and "\n" not in caught.value.message
    assert "odd\\n.json" in caught.value.message


def test_huge_texts_are_cut(rng: np.random.Generator) -> None:
    file = TokenizerFile(bytes_of(byte_pairs()))
    text = "".join(rng.choice(list("abc dog"), LONGEST_TEXT + 7))
    assert file.lists([text], most=5001) == file.lists([text[:5500] + "x" * 9], most=5001) or (
        file.lists([text]) == file.lists([text[:LONGEST_TEXT]])
    )
    assert len(file.lists([text], most=5001)[0]) == 5001
    begun = time.perf_counter()
    for odd in ("a" * 10_000_000, "\u0301" * 1_000_000, "東" * 1_000_000):
        assert file.lists([odd, "the dog"])[1] == file.lists(["the dog"])[0]
    assert time.perf_counter() - begun < 30


def test_without_the_package_a_sentence_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytes_of(word_piece())
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(CustomerError, match=r"which is missing: pip install 'object2vec\[token"):
        TokenizerFile(content)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.json", "No such file"), (tmp_path, "no regular file")):
        with pytest.raises(CustomerError, match=reason):
            read_tokenizer(path)
