# SPDX-License-Identifier: Apache-2.0
"""Pairs from files, records and data frames, and the sentence for each mistake."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.data import json_lines
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.dataset import from_records, read_channel, token_lists
from object2vec.errors import CustomerError
from object2vec.hyperparameters import checked as hp

pytestmark = pytest.mark.own_way

SOUND = b'{"label": 1, "in0": [6, 17], "in1": [16]}\n'


def settings_of(**changes: Any) -> hp.Hyperparameters:
    values: dict[str, Any] = {
        "enc0_max_seq_len": 3,
        "enc0_vocab_size": 20,
        "enc1_network": "hcnn",
        "enc1_max_seq_len": 2,
        "enc1_vocab_size": 30,
        "num_classes": 3,
    }
    return hp.parse({**values, **changes})[0]


SOFTMAX = settings_of()
REGRESSION = settings_of(output_layer="mean_squared_error")


def lists_of(lists: TokenLists) -> list[list[int]]:
    return [lists[row].tolist() for row in range(len(lists))]


def columns_of(pairs: PairDataset) -> tuple[list[list[int]], list[list[int]], list[float]]:
    return lists_of(pairs.in0), lists_of(pairs.in1), pairs.labels.tolist()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------------------------- flat arrays


ROWS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8)


@given(ROWS, st.integers(0, 6), st.data())
@settings(max_examples=60)
def test_flat_lists_behave_like_lists(rows: list[list[int]], limit: int, data: Any) -> None:
    lists = TokenLists.from_lists(rows)
    assert (lists.tokens.dtype, lists.offsets.dtype) == (np.int32, np.int64)
    assert len(lists) == len(rows)
    assert lists_of(lists) == rows
    assert lists.lengths.tolist() == [len(row) for row in rows]
    assert lists_of(lists.truncate(limit)) == [row[:limit] for row in rows]
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    taken = lists.take(np.array(index, dtype=np.int64))
    assert lists_of(taken) == [rows[position] for position in index]
    mask = np.array([len(row) > 1 for row in rows], dtype=bool)
    assert lists_of(lists.take(mask)) == [row for row in rows if len(row) > 1]


def test_arrays_of_another_type_or_length_are_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        TokenLists(np.zeros(2, np.int64), np.array([0, 2]))
    with pytest.raises(ValueError, match="end with the number of tokens"):
        TokenLists(np.zeros(2, np.int32), np.array([0, 1]))
    with pytest.raises(ValueError, match="equally long"):
        PairDataset(
            TokenLists.from_lists([[1]]), TokenLists.from_lists([]), np.zeros(1, np.float32)
        )


# --------------------------------------------------------------------------------- sound channels


def test_a_folder_is_read_in_sorted_order_with_its_sub_folders(tmp_path: Path) -> None:
    line = '{{"label": {0}, "in0": [{0}], "in1": []}}\n'.format
    write(tmp_path / "b.jsonl", line(1).encode())
    write(tmp_path / "c" / "deep" / "x", line(2).encode())
    write(tmp_path / "a.jsonl.gz", gzip.compress(line(0).encode()))
    write(tmp_path / "packed-without-the-name", gzip.compress(line(1).encode()))
    write(tmp_path / ".hidden", b"no json")
    write(tmp_path / ".folder" / "y", b"no json")
    write(tmp_path / "_SUCCESS", b"")
    os.symlink(tmp_path, tmp_path / "c" / "back")
    pairs = read_channel(tmp_path, SOFTMAX)
    assert columns_of(pairs) == ([[0], [1], [2], [1]], [[], [], [], []], [0, 1, 2, 1])


@pytest.mark.parametrize(
    "content",
    [
        SOUND + SOUND,
        SOUND + SOUND[:-1],
        b"\xef\xbb\xbf" + SOUND + SOUND,
        (SOUND + SOUND).replace(b"\n", b"\r\n"),
        b"\n \n" + SOUND + b"\n\t\r\n\n" + SOUND + b"  ",
        SOUND + b' {"label":1.0,"in0":[6,17],"in1":[16],"extra":{"in0":true,"t":[false, null]}} \n',
    ],
    ids=["plain", "no last newline", "byte order mark", "crlf", "blank lines", "other fields"],
)
def test_harmless_variants_of_a_file(tmp_path: Path, content: bytes) -> None:
    pairs = read_channel(write(tmp_path / "f", content), SOFTMAX)
    assert columns_of(pairs) == ([[6, 17], [6, 17]], [[16], [16]], [1, 1])
    assert pairs.truncated == 0


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    content = b'{"label": 0, "in0": [1, 2, 3, 4], "in1": [1, 2, 3]}\n' + SOUND
    pairs = read_channel(write(tmp_path / "f", content), SOFTMAX)
    assert columns_of(pairs)[:2] == ([[1, 2, 3], [6, 17]], [[1, 2], [16]])
    assert pairs.truncated == 2


def test_an_id_beyond_the_cut_is_checked_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "f", b'{"label": 0, "in0": [1, 2, 3, 20], "in1": []}')
    with pytest.raises(CustomerError, match='Vocab id "20"'):
        read_channel(path, SOFTMAX)


def test_labels_of_regression_are_any_finite_numbers(tmp_path: Path) -> None:
    labels = [-1.5, 3, 0, 1e-3, 123456]
    content = "\n".join(json.dumps({"label": x, "in0": [], "in1": []}) for x in labels)
    pairs = read_channel(write(tmp_path / "f", content.encode()), REGRESSION)
    assert pairs.labels.dtype == np.float32
    np.testing.assert_array_equal(pairs.labels, np.array(labels, np.float32))


def test_blocks_of_any_size_give_the_same_pairs(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        {
            "label": int(rng.integers(3)),
            "in0": rng.integers(20, size=rng.integers(4)).tolist(),
            "in1": rng.integers(30, size=rng.integers(3)).tolist(),
        }
        for _ in range(300)
    ]
    content = "".join(json.dumps(record) + "\n" * int(rng.integers(1, 3)) for record in records)
    path = write(tmp_path / "f", content.encode())
    expected = tuple([record[name] for record in records] for name in ("in0", "in1", "label"))
    assert columns_of(from_records(iter(records), SOFTMAX)) == expected
    for size in (7, 100, 1000, 1 << 17):
        monkeypatch.setattr(json_lines, "BLOCK_BYTES", size)
        assert columns_of(read_channel(path, SOFTMAX)) == expected
        bad = write(tmp_path / "bad", content.encode() + b"{}")
        with pytest.raises(CustomerError, match=f"line {content.count(chr(10)) + 1}\\)"):
            read_channel(bad, SOFTMAX)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/jsonlines",
        "Application/JSON-Lines; charset=utf-8",
        " application/x-jsonlines ",
    ],
)
def test_content_types_of_json_lines(tmp_path: Path, content_type: str) -> None:
    path = write(tmp_path / "f", SOUND)
    assert len(read_channel(path, SOFTMAX, content_type=content_type)) == 1


# ----------------------------------------------------------------------------------- bad channels

BAD_PAIRS: list[tuple[str, str]] = [
    ('{"label": 1, "in0": [6], "in1": [30]}',
     'Inconsistent vocab for in1 found. Vocab id "30" is not less than vocab_size=30'),
    ('{"label": 1, "in0": [-1], "in1": []}', 'Inconsistent vocab for in0 found. Vocab id "-1" is '
     "negative; ids run from 0 to 19"),
    ('{"label": 1, "in0": [4294967296], "in1": []}', 'Vocab id "4294967296" is not less than'),
    ('{"label": 1, "in0": [true], "in1": []}', "in0 must hold integers only, found true"),
    ('{"label": 1, "in0": [1, 6.0], "in1": []}', "found 6.0 at position 1: write 6 instead of 6.0"),
    ('{"label": 1, "in0": [0.5], "in1": []}', "in0 must hold integers only, found 0.5"),
    ('{"label": 1, "in0": ["6"], "in1": []}', 'found "6" at position 0: write 6 without quotes'),
    ('{"label": 1, "in0": [null], "in1": []}', "in0 must hold integers only, found null"),
    ('{"label": 1, "in0": [[6]], "in1": []}', "in0 must hold integers only, found [6]"),
    ('{"label": 1, "in0": [], "in1": 7}', "in1 must be a list of token ids, found 7: write [7]"),
    ('{"label": 1, "in0": "", "in1": []}', "in0 must be a list of token ids such as [6, 17], "
     'found ""'),
    ('{"label": 1, "in0": {}, "in1": []}', "in0 must be a list of token ids such as [6, 17], "
     "found {}"),
    ('{"label": 1, "in0": null, "in1": []}', "found null"),
    ('{"label": 1, "in1": []}', 'in0 is missing: a pair looks like'),
    ('{"label": 1, "in0": [], "in2": []}', 'found only "label", "in0", "in2"'),
    ('{"in0": [], "in1": []}', "label is missing"),
    ("{}", "found an empty object"),
]  # fmt: skip
BAD_CLASSES = ["3", "-1", "0.5", "true", "null", '"1"', "[1]", "1e300"]
BAD_NUMBERS = ["true", "null", '"1"', "[1]", "1e300"]
BAD_JSON: list[tuple[bytes, str]] = [
    (b"{", "Broken JSON at column 2, unexpected end of data: each line must hold one pair"),
    (b'{"label": 1, "in0": [1], "in1": [1]} {}', "Broken JSON at column 38"),
    (b'{"label": 1, "in0": [1], "in1": [1]},', "Broken JSON at column 37"),
    (b'{"label": 1, "in0": [1], "in1": [1], "text": "a NaN" 7}', "Broken JSON at column 54"),
    (b"1,6,17", "Broken JSON at column 2"),
    (b'{"label": NaN, "in0": [1], "in1": [1]}', "NaN is no JSON and no finite number"),
    (b'{"label": -Infinity, "in0": [1], "in1": [1]}', "-Infinity is no JSON"),
    (b'{"label": 1, "in0": [1], "in1": [1], "text": "\xff"}', "The line is not UTF-8 text"),
    (b'{"label": 1, "in0": [99999999999999999999], "in1": []}', "in0 must hold integers only"),
    (b"[6, 17]", "A pair must be one JSON object such as"),
    (b"7", "found a number"),
    (b'"text"', "found a string"),
    (b"null", "found null"),
    (b'{"label": 1, "in0": [1], "in1": [1], "in0": [2]}', 'The key "in0" stands twice in one'),
    (b'{"label": 1, "in0": [1], "in1": [1], "l\\u0061bel": 2}', 'The key "label" stands twice'),
    (b'{"label": 1, "in0": %b, "in1": []}' % (b"[" * 1000 + b"]" * 1000), "found [[[[[[[["),
    (b'{"label": 1, "in0": %b, "in1": []}' % (b"[" * 100_000 + b"]" * 100_000), "Broken JSON"),
    (b'{"label": 1, "in0": [%b], "in1": []}' % (b"9" * 5000), "Broken JSON"),
    (b'{"label": %b, "in0": [1], "in1": []}' % (b"9" * 300), "label must be a finite 32-bit"),
    (b'{"label": "%b", "in0": [1], "in1": []}' % (b"k" * 100_000), 'found "kkkk'),
    (b'{"%b": 1}' % (b"k" * 100_000), 'found only "kkk'),
    (b'{"in0\xe2\x80\xae": 1, "\\u001b[2J": 1}', r'found only "in0\u202e", "\u001b[2J"'),
]


def sentence_of(path: Path, hyperparameters: hp.Hyperparameters) -> str:
    with pytest.raises(CustomerError) as caught:
        read_channel(path, hyperparameters)
    return str(caught.value)


@pytest.mark.parametrize(("line", "sentence"), BAD_PAIRS)
def test_a_bad_pair_is_named_with_file_and_line(tmp_path: Path, line: str, sentence: str) -> None:
    path = write(tmp_path / "f.jsonl", SOUND + b"\n" + line.encode() + b"\n" + SOUND)
    text = sentence_of(path, SOFTMAX)
    assert sentence in text
    assert text.endswith(f" ({path}, line 3)")


@pytest.mark.parametrize(("line", "sentence"), BAD_JSON, ids=lambda value: repr(value)[:50])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: bytes, sentence: str) -> None:
    path = write(tmp_path / "f.jsonl", SOUND * 2 + line + b"\n" + SOUND)
    text = sentence_of(path, REGRESSION)
    assert text.startswith(sentence) or sentence in text
    assert text.endswith(f" ({path}, line 3)")


@pytest.mark.parametrize("label", BAD_CLASSES)
def test_a_bad_class_is_named(tmp_path: Path, label: str) -> None:
    path = write(tmp_path / "f", b'{"label": %b, "in0": [1], "in1": [1]}' % label.encode())
    text = sentence_of(path, SOFTMAX)
    assert text.startswith("label must be an integer class from 0 to 2 (num_classes=3), found ")
    assert text.endswith(f" ({path}, line 1)")


@pytest.mark.parametrize("label", BAD_NUMBERS)
def test_a_bad_number_is_named(tmp_path: Path, label: str) -> None:
    path = write(tmp_path / "f", b'{"label": %b, "in0": [1], "in1": [1]}' % label.encode())
    assert sentence_of(path, REGRESSION).startswith("label must be a ")


def test_other_keys_may_stand_twice_and_strings_may_look_like_keys(tmp_path: Path) -> None:
    odd = b'{"text": "caf\\u00e9 \\"in0\\"", "text": "in0", "label": 1, "in0": [6], "in1": [16]}\n'
    path = write(tmp_path / "f", SOUND * 3 + odd + b'{"a": {"label": 2}, ' + SOUND[1:] + SOUND)
    assert len(read_channel(path, SOFTMAX)) == 6


def test_a_repeated_key_is_found_in_any_block(tmp_path: Path) -> None:
    repeated = SOUND.strip()[:-1] + b', "in0": [6]}\n'
    path = write(tmp_path / "f", SOUND * 20_000 + repeated + SOUND)
    assert sentence_of(path, SOFTMAX).endswith("line 20001)")


def test_records_of_numbers_of_thousands_of_digits_are_refused() -> None:
    for field, value in (("label", 10**5000), ("in0", [10**5000]), ("in0", -(10**5000))):
        for hyperparameters in (SOFTMAX, REGRESSION):
            with pytest.raises(CustomerError, match="a number of about 5000 digits"):
                from_records([{"label": 1, "in0": [1], "in1": [1], field: value}], hyperparameters)


def test_names_of_any_length_are_refused_shortened(tmp_path: Path) -> None:
    text = sentence_of(tmp_path / ("n" * 5000), SOFTMAX)
    assert "File name too long" in text and len(text) < 400
    hostile = tmp_path / "a\nb\x1b[2J"
    assert sentence_of(hostile, SOFTMAX).endswith(r"a\nb\x1b[2J")


def test_the_first_mistake_is_reported_whatever_its_kind(tmp_path: Path) -> None:
    content = SOUND + b'{"label": 1, "in0": [20], "in1": []}\n{broken\n'
    assert "line 2)" in sentence_of(write(tmp_path / "f", content), SOFTMAX)


def test_lines_that_only_together_are_json_are_refused(tmp_path: Path) -> None:
    split = b'{"label": 1, "in0": [6\n17], "in1": [16]}\n'
    doubled = SOUND.strip() + b"," + SOUND
    assert "line 1)" in sentence_of(write(tmp_path / "split", split), SOFTMAX)
    assert "line 1)" in sentence_of(write(tmp_path / "both", split + doubled), SOFTMAX)
    text = b'{"text": "a\nb", "label": 1, "in0": [6], "in1": [16]}\n'
    assert "line 1)" in sentence_of(write(tmp_path / "text", text), SOFTMAX)


def test_a_channel_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in sentence_of(tmp_path / "nowhere", SOFTMAX)


def test_a_pipe_is_no_channel_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    assert "neither a file nor a folder" in sentence_of(tmp_path / "train_0", SOFTMAX)
    assert "the job's input mode must be File" in sentence_of(tmp_path, SOFTMAX)


def test_a_wrong_content_type_is_refused_before_reading(tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match=r"test channel has the content type 'text/csv'; it"):
        read_channel(tmp_path / "nowhere", SOFTMAX, content_type="text/csv", channel="test")


def test_damaged_gzip_files_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    lines = [b'{"label": 1, "in0": [%d], "in1": []}\n' % x for x in rng.integers(20, size=2000)]
    packed = gzip.compress(b"".join(lines))
    cut = write(tmp_path / "cut.gz", packed[: len(packed) // 2])
    assert (
        sentence_of(cut, SOFTMAX) == f"The gzip file {cut} ends before its end mark: it is cut off"
    )
    middle = len(packed) // 2
    broken = packed[:middle] + bytes(byte ^ 255 for byte in packed[middle:])
    assert str(tmp_path) in sentence_of(write(tmp_path / "broken.gz", broken), SOFTMAX)
    trailer = write(tmp_path / "sum.gz", packed[:-8] + b"\0" * 8)
    assert sentence_of(trailer, SOFTMAX).startswith(f"Cannot read {trailer}")


def test_utf_16_and_endless_lines_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "utf16", SOUND.decode().encode("utf-16"))
    assert sentence_of(path, SOFTMAX) == f"{path} is written in UTF-16; JSON Lines are UTF-8"
    write(path, SOUND.decode().encode("utf-32"))
    assert sentence_of(path, SOFTMAX) == f"{path} is written in UTF-32; JSON Lines are UTF-8"
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 1 << 20)
    endless = write(tmp_path / "endless", b"[" + b"1," * (1 << 20))
    assert "holds a line of more than 1 MiB" in sentence_of(endless, SOFTMAX)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f", SOUND)
    path.chmod(0)
    assert sentence_of(path, SOFTMAX) == f"Cannot read {path}: Permission denied"


# -------------------------------------------------------------------------- records, data frames


def test_records_may_hold_arrays_tuples_and_numpy_numbers() -> None:
    records = [
        {"label": 1, "in0": [6, 17], "in1": (16,)},
        {"label": np.float32(2.0), "in0": np.array([1, 2]), "in1": []},
        {"label": np.int64(0), "in0": [np.int64(3)], "in1": np.zeros(0, np.int32)},
    ]
    pairs = from_records(records, SOFTMAX)
    assert columns_of(pairs) == ([[6, 17], [1, 2], [3]], [[16], [], []], [1, 2, 0])


@pytest.mark.parametrize(("line", "sentence"), BAD_PAIRS)
def test_records_meet_the_same_checks(line: str, sentence: str) -> None:
    records = [json.loads(SOUND)] * 5000 + [json.loads(line)]
    with pytest.raises(CustomerError) as caught:
        from_records(records, SOFTMAX, channel="validation")
    text = str(caught.value)
    assert sentence in text
    assert text.endswith("(validation, instance 5000, counting from 0)")


def test_a_label_that_is_nan_is_refused() -> None:
    with pytest.raises(CustomerError, match=r"finite 32-bit number, found nan \(train, instance 0"):
        from_records([{"label": float("nan"), "in0": [1], "in1": [1]}], REGRESSION)
    with pytest.raises(CustomerError, match=r"label must be an integer class .* found nan"):
        from_records([{"label": float("nan"), "in0": [1], "in1": [1]}], SOFTMAX)


@pytest.mark.parametrize("records", ["train.jsonl", 7, {"label": 1}, None])
def test_what_is_no_iterable_of_pairs_is_refused(records: Any) -> None:
    with pytest.raises(CustomerError, match="must be an iterable of pairs such as"):
        from_records(records, SOFTMAX)


def test_no_record_and_records_that_are_no_mappings_are_refused() -> None:
    with pytest.raises(CustomerError, match="no record was given"):
        from_records([], SOFTMAX)
    words = r"A pair must be a dict with in0, in1 and label, such as \{.*\}, found "
    sound = {"in0": [6], "in1": [2], "label": 1}
    for other, found in ((([6], [2]), r"\(\[6\], \[2\]\)"), ([1, 2], r"\[1, 2\]"), (None, "None")):
        with pytest.raises(CustomerError, match=rf"{words}{found} \(train, instance 1, counting"):
            from_records([sound, other], SOFTMAX)
    with pytest.raises(CustomerError, match=r"label is missing.*\(train, instance 0, counting"):
        from_records([{"in0": [6], "in1": [2]}, ([6], [2])], SOFTMAX)


def test_a_data_frame_is_read_by_its_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"label": [1.0, 2.0], "in1": [[16], np.array([3])], "in0": [(6, 17), []], "x": ["a", "b"]},
        index=[7, 8],
    )
    assert columns_of(from_records(frame, SOFTMAX)) == ([[6, 17], []], [[16], [3]], [1, 2])
    with pytest.raises(CustomerError, match="no column 'label'; it has in1, in0, x"):
        from_records(frame.drop(columns="label"), SOFTMAX)
    frame.loc[8, "label"] = np.nan
    with pytest.raises(CustomerError, match="instance 1, counting from 0"):
        from_records(frame, SOFTMAX)


# -------------------------------------------------------------------------------- one-sided lists


def test_lists_to_embed_are_checked_and_cut() -> None:
    lists = token_lists(iter([[1, 2, 3], (), np.array([4])]), "in0", 5, 2)
    assert lists_of(lists) == [[1, 2], [], [4]]
    assert lists_of(token_lists(np.array([[1, 2], [3, 4]]), "in0", 5, 2)) == [[1, 2], [3, 4]]
    assert len(token_lists([], "in0", 5, 2)) == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1], [5]], r'Inconsistent vocab for in1 found. Vocab id "5" .* \(instance 1, counting'),
        ([[1], [True]], r"found true at position 0 \(instance 1"),
        ([1, 2], r"in1 must be a list of token ids, found 1: write \[1\] \(instance 0"),
        ("text", "in1 must be a list of lists"),
        (3, "in1 must be a list of lists"),
    ],
)
def test_bad_lists_to_embed_are_named(values: Any, sentence: str) -> None:
    with pytest.raises(CustomerError, match=sentence):
        token_lists(values, "in1", 5, 2)


def test_reading_imports_neither_mxnet_nor_pandas() -> None:
    code = (
        "import sys, object2vec.data.dataset, object2vec.sagemaker.environment;"
        "import object2vec.pretrained.auxiliary_channel;"
        "print([name for name in ('mxnet', 'gluonnlp', 'pandas') if name in sys.modules])"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert output.stdout.strip() == "[]"
