# SPDX-License-Identifier: Apache-2.0
"""The README's tables and examples are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec import Object2Vec
from object2vec.hyperparameters.table import markdown_table

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_hyperparameter_table_is_current() -> None:
    assert markdown_table().strip() in README


def write_ratings(path: Path, rng: Any) -> None:
    lines = (
        {"label": int(rating), "in0": [int(user)], "in1": [int(film)]}
        for user, film, rating in zip(
            rng.integers(1, 944, 300), rng.integers(1, 1684, 300), rng.integers(1, 6, 300)
        )
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# SymbolBlock infers types before it knows the inputs', and says so
@pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")
def test_python_examples_run(tmp_path: Path, monkeypatch: Any, rng: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "validation", "test"):
        write_ratings(tmp_path / f"{name}.jsonl", rng)
    with (tmp_path / "ratings.csv").open("w", encoding="utf-8") as table:
        table.write("user,film,genres,rating\n")
        for user, film, stars in rng.integers(1, 6, (300, 3)).tolist():
            table.write(f'u{user},"Film, {film}",{"War|Crime" if film % 2 else "War"},{stars}\n')
    with (tmp_path / "articles.csv").open("w", encoding="utf-8") as table:
        table.write("title,text\n")
        for row in range(60):
            words = " ".join(f"word{row % 3 + 7 * place}" for place in range(50))
            table.write(f"Article {row},{words}\n")
    *api, manners, without_package = code_blocks("python")[1:]
    names: dict[str, Any] = {}
    for block in api:
        exec(block, names)  # the README's own text
        assert isinstance(names["model"], Object2Vec)
    exec(without_package, names)
    np.testing.assert_allclose(
        names["embedding"].asnumpy(), names["model"].embed(in1=[[50]]), atol=1e-6
    )
    exec(manners, names)
    model = names["model"]
    assert model.best_epoch is not None and len(model.refit_history) == model.best_epoch + 1
