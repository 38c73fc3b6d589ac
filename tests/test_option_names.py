# SPDX-License-Identifier: Apache-2.0
"""A sentence about an option calls it as it was given: in Python, on a command line, in a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.prepare.delimited import Layout
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import table_pairs
from object2vec.raw_values.option_names import HYPERPARAMETERS, calling_options, option_with
from tests.commands import one_sentence

# What is said to Python, and what on a command line, of the same mistake in the same table.
MISTAKES: dict[str, tuple[str, dict[str, Any], str, list[str], str]] = {
    "one column": (
        "user:film\na:b\n", {}, "give separator='…' where", [], "give --separator '…' where"
    ),
    "endless quote": (
        'user,film\na,"b\n', {}, "and quotes=False takes", [], "and --no-quotes takes"
    ),
    "separator": (
        "user,film\na,b\n", {"layout": Layout("::")}, "separator must be one ASCII",
        ["--separator", "::"], "--separator must be one ASCII",
    ),
    "encoding": (
        "user,film\na,b\n", {"layout": Layout(encoding="x")}, "encoding must be one that",
        ["--encoding", "x"], "--encoding must be one that",
    ),
    "two kinds": (
        "user,film,stars\na,b,1\na,c,good\n", {"label": "stars"}, "give label_kind='class' to",
        ["--label", "stars"], "give --label-kind 'class' to",
    ),
    "label": (
        "user,film,stars\na,b,1\n", {"label": "star"}, "label names the column 'star'",
        ["--label", "star"], "--label names the column 'star'",
    ),
    "rare": (
        "user,film\na,b\n", {"in1": {"name": "film", "min_count": 2}}, "times or more (min_count)",
        ["--min-count", "film=2"], "times or more (--min-count)",
    ),
    "bins": (
        "user,film\na,1\n", {"in1": {"name": "film", "bins": 1}}, "bins of the column",
        ["--bins", "film=1"], "--bins of the column",
    ),
    "tags": (
        "user,film\na,1\n", {"in1": {"name": "film", "separator": ""}}, "separator of the column",
        ["--tag-separator", "film="], "--tag-separator of the column",
    ),
    "preset": (
        "user,film\na,1\n", {"preset": "rating"}, "preset must be one of",
        ["--preset", "rating"], "--preset must be one of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_the_words_of_its_door(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, given, in_python, typed, on_command_line = MISTAKES[mistake]
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(CustomerError) as caught:
        table_pairs(path, TableChoice(**{"in0": "user", "in1": "film", **given}))
    assert in_python in caught.value.message and "--" not in caught.value.message
    columns = ["--in0", "user", "--in1", "film", *typed]
    for command in (
        ["prepare", "--input", str(path), "--output", str(tmp_path / "channels")],
        ["train", "--train", str(path), "--model-dir", str(tmp_path / "model")],
    ):
        assert main([*command, *columns]) == 1
        assert on_command_line in one_sentence(capsys.readouterr().err)
    # nothing of a command stays behind
    with pytest.raises(CustomerError) as again:
        table_pairs(path, TableChoice(**{"in0": "user", "in1": "film", **given}))
    assert again.value.message == caught.value.message


def test_a_job_has_names_of_its_own() -> None:
    with calling_options(HYPERPARAMETERS):
        assert option_with("label_kind", "'class'") == "_label_kind=class"
        assert option_with("quotes", "False") == ""
