# SPDX-License-Identifier: Apache-2.0
"""The notebooks in examples/ are stored clean, and run on real data to results worth having."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from shell_examples import ROOT

pytestmark = pytest.mark.own_way
FOLDER = ROOT / "examples"
PARAMETERS = "parameters"  # the tag that papermill looks for too

# What stands in the place of a notebook's parameters, and what must be true at its end.
RUNS = {
    "film_ratings": (
        "epochs = 8",
        """
assert errors["object2vec"] < 0.95 < errors["the mean of all ratings"], errors
sequels = {"Empire Strikes Back, The (1980)", "Return of the Jedi (1983)"}
assert sequels & set(nearest("Star Wars (1977)").index), nearest("Star Wars (1977)")
assert accuracy > 0.65, accuracy
recommended = recommend(user=1)
assert len(recommended) == 10
assert recommended["probability_1"].is_monotonic_decreasing
assert not set(recommended["title"]) & set(train.loc[train["user"] == 1, "title"])
""",
    ),
    "document_embedding": (
        "articles_read, epochs = 2000, 4",
        """
assert hits > 8 * chance, hits
place = int(np.argmax(places == 0))
found = search(test["sentence"].iloc[place])
assert library[place].startswith(found["begins"][0]) and len(found) == 5, found
assert found["cosine"].is_monotonic_decreasing and found["cosine"][0] <= 1.0001, found
""",
    ),
    "sentence_similarity": (
        "rows, epochs = None, 2",
        """
assert accuracy > 0.5, accuracy
assert nearer > 0.6, nearer
assert np.allclose(similarity([said], [said]), 1, atol=1e-5)
first, second = similarity([said, said], others)
assert first > second, (first, second)
""",
    ),
    "film_genres": (
        "rows, epochs = 4000, 4",
        """
assert shares["object2vec"] > shares["the commonest genres"] + 0.02, shares
assert "Science Fiction" in genre_table([plot]).iloc[0].nlargest(4)
""",
    ),
}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_run() -> None:
    assert sorted(RUNS) == sorted(path.stem for path in FOLDER.rglob("*.ipynb"))


@pytest.mark.parametrize("name", RUNS)
def test_notebook_is_short_and_holds_no_output(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert 8 <= len(notebook.cells) <= 15
    assert notebook.metadata.kernelspec.name == "python3"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert [PARAMETERS in cell.metadata.get("tags", ()) for cell in cells].index(True) == 0
    # each step is told of before it is done
    kinds = [cell.cell_type for cell in notebook.cells[2:]]
    assert kinds == ["markdown", "code"] * (len(kinds) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_notebook_runs(name: str, data_dir: Path, tmp_path: Path, monkeypatch: Any) -> None:
    for variable in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("OBJECT2VEC_DATA", str(data_dir.resolve()))
    monkeypatch.delenv("OBJECT2VEC_COMPILED", raising=False)
    parameters, checks = RUNS[name]
    notebook = read(name)
    given = next(c for c in notebook.cells if PARAMETERS in c.metadata.get("tags", ()))
    given.source = parameters
    notebook.cells.append(nbformat.v4.new_code_cell(checks))
    # raises at the first cell that fails, with its traceback
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [cell for cell in notebook.cells[:-1] if cell.cell_type == "code"]
    assert shown[-1].outputs, "the last cell shows nothing"
