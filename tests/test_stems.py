# SPDX-License-Identifier: Apache-2.0
"""Texts whose words are brought to their stems, from every door into a model and out of it."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mms_server import serving

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.raw_values.inputs_file import read_inputs
from object2vec.raw_values.stems import languages, stems
from tests.commands import one_sentence, write_lines

PLOTS = ["The murders were murdered", "He loves loving her", "Dogs run", "A dog's running"]
ROWS = [{"plot": PLOTS[row % 4], "kind": ("Crime", "Love")[row % 2]} for row in range(24)]
SMALL: dict[str, Any] = {"enc_dim": 8, "epochs": 1, "mini_batch_size": 8, "seed": 3}
PLOT = {"name": "plot", "stem": "english"}


def model_of(in0: Any = PLOT, rows: Any = None, **more: Any) -> Object2Vec:
    return Object2Vec.from_table(rows or ROWS, in0=in0, in1="kind", **{**SMALL, **more})


def words_of(model: Object2Vec) -> set[str]:
    assert model.inputs is not None
    return set(model.inputs.vocabularies["in0.0"].values)  # type: ignore[union-attr]


def test_words_of_one_stem_are_one_token(tmp_path: Path) -> None:
    model = model_of()
    assert words_of(model) == {
        *("the", "murder", "were", "he", "love", "her", "dog", "run", "a"),
    }  # fmt: skip
    expected = model.embed(in0=["murder love dog"])
    asked = ["Murdering, loved: dogs!"]
    np.testing.assert_array_equal(model.embed(in0=asked), expected)
    model.save(tmp_path / "model")
    again = Object2Vec.load(tmp_path / "model")
    np.testing.assert_array_equal(again.embed(in0=asked), expected)
    assert again.inputs == model.inputs
    (file,) = (tmp_path / "model").glob("inputs-*.json")
    assert json.loads(file.read_bytes())["version"] == 4


def test_without_stems_the_file_is_that_of_earlier_versions(tmp_path: Path) -> None:
    model = model_of({"name": "plot", "kind": "text"})
    assert {"murders", "murdered"} < words_of(model)
    model.save(tmp_path / "model")
    (file,) = (tmp_path / "model").glob("inputs-*.json")
    fields = json.loads(file.read_bytes())
    assert fields["version"] == 1 and "stem" not in fields["in0"]["columns"][0]


def test_each_language_has_rules_that_bring_some_words_together() -> None:
    assert {"english", "german", "russian"} <= set(languages())
    assert stems(["häuser", "hauses"], "german") == ["haus", "haus"]
    for language in languages():
        odd = ["", "'", "x", "é", "狼", "12", "a" * 64]
        found = stems([*odd, "y" * 65], language)
        assert len(found) == 8 and all(found[1:]) and found[-1] == "y" * 65


def test_threads_stem_side_by_side() -> None:
    words = [f"{letter}{end}" for letter in "abcdefgh" for end in ("ings", "ational", "ness")]
    words = [f"{number}x{word}" for number in range(400) for word in words]
    expected = [stems([word], "english")[0] for word in words]
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        # each begins elsewhere, so that they do not find each other's in the cache
        turned = words[number * 2000 :] + words[: number * 2000]
        back = stems(turned, "porter")
        found[number] = back[-number * 2000 :] + back[: -number * 2000] if number else back

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = stems(words, "porter")
    assert len(expected) == len(alone) and all(found[number] == alone for number in range(4))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ({"stem": "englisch"}, 'stem of the column "plot" of in0 must be one of arabic, '),
        ({"stem": ["english"]}, 'found ["english"].'),
        ({"stem": "english", "lower": False}, "lower of the column"),
        ({"stem": "english", "kind": "id"}, "kind of the column"),
        ({"stem": "english", "tokenizer": "t.json"}, "t.json"),
    ],
    ids=["language", "list", "case", "kind", "tokenizer"],
)
def test_what_does_not_fit_is_told(column: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CustomerError) as told:
        model_of({"name": "plot", **column})
    assert sentence in str(told.value)


def test_tied_sides_have_one_language() -> None:
    rows = [{"a": PLOTS[row % 4], "b": PLOTS[(row + 1) % 4]} for row in range(24)]
    for stem, other in (("english", None), ("english", "german")):
        with pytest.raises(CustomerError, match="share vocabularies, but stem of"):
            Object2Vec.from_table(
                rows,
                in0={"name": "a", "kind": "text", "stem": stem},
                in1={"name": "b", "kind": "text", "stem": other},
                tied_token_embedding_weight=True,
                **SMALL,
            )


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        *(
            pytest.param("stem", stem, r"stem, but it should be one of arabic", id=str(stem))
            for stem in ("klingon", 3, None, ["english"])
        ),
        pytest.param("lower", False, "gives false for in0.columns.0..lower, but", id="case"),
    ],
)
def test_a_file_that_no_stemmer_follows_is_refused(
    field: str, value: Any, sentence: str, tmp_path: Path
) -> None:
    model_of().save(tmp_path / "model")
    (file,) = (tmp_path / "model").glob("inputs-*.json")
    fields = json.loads(file.read_bytes())
    fields["in0"]["columns"][0][field] = value
    path = tmp_path / "inputs.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(CustomerError, match=sentence):
        read_inputs(path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snowballstemmer", None)
    with pytest.raises(CustomerError, match=r"missing: pip install 'object2vec\[stems\]'"):
        model_of()


def test_commands_take_and_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "table.jsonl", ROWS)
    columns = ["--in0", "plot", "--in1", "kind"]
    stem = ["--stem", "plot=english"]
    small = ["-p", "enc_dim=8", "-p", "epochs=1", "-p", "mini_batch_size=8"]
    train = ["train", "--train", "table.jsonl", *columns, "--model-dir", "model", *small]
    assert main([*train, *stem]) == 0
    assert "murder" in words_of(Object2Vec.load("model"))
    prepare = ["prepare", "--input", "table.jsonl", *columns, *stem, "--output", "channels"]
    assert main(prepare) == 0
    assert read_inputs("channels/auxiliary/inputs.json").in0.columns[0].stem == "english"
    capsys.readouterr()
    assert main([*train, "--stem", "plot=elvish"]) == 1
    assert "--stem of the column" in one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_a_server_stems_what_it_is_asked(tmp_path: Path) -> None:
    model = model_of()
    model.save(tmp_path / "model")
    asked = ["Murdering, loved: dogs!", "murder love dog"]
    body = "".join(json.dumps({"in0": text}) + "\n" for text in asked).encode()
    with serving(tmp_path / "model", tmp_path / "log") as server:
        answer = server.invoke(body, content_type="application/jsonlines").body
    one, other = (json.loads(line)["embeddings"] for line in answer.splitlines())
    assert one == other
    np.testing.assert_allclose(one, model.embed(in0=asked)[0], rtol=1e-6)
