# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/: what the code prints for them is current, and links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest
from shell_examples import PAGES, ROOT

from object2vec import Object2Vec
from object2vec.hyperparameters.table import markdown_table

pytestmark = pytest.mark.own_way


def hook(name: str) -> ModuleType:
    """A module of docs/hooks/, which MkDocs loads by its path too."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/hooks/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages, own_files = hook("pages"), hook("own_files")
# Every page of the site but the notebooks, and the file that it is.
SOURCES = {
    **{name.partition("/")[2]: name for name in PAGES},
    **{page: path for page, path in pages.ELSEWHERE.items() if path.endswith(".md")},
}


def test_the_table_of_hyperparameters_is_current() -> None:
    assert markdown_table().strip() in (ROOT / "docs/hyperparameters.md").read_text("utf-8")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", SOURCES)
def test_links_lead_to_files(page: str) -> None:
    _, missing = pages.site_links((ROOT / SOURCES[page]).read_text("utf-8"), page)
    assert missing == []


def test_the_navigation_lists_pages_once() -> None:
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert len(set(listed)) == len(listed) > 20
    assert set(listed) <= {*SOURCES, *pages.ELSEWHERE}
    assert set(pages.ELSEWHERE) <= set(listed)


def test_a_page_that_is_not_listed_is_a_guide() -> None:
    others = [page for page in SOURCES if page not in ("moving.md", "serving.md", "tables.md")]
    nav = [{"Home": "index.md"}, {"Guides": [{"Tables": "tables.md"}]}, {"Else": others}]
    guides = pages.on_config({"nav": nav})["nav"][1]["Guides"]
    assert guides == [{"Tables": "tables.md"}, "moving.md", "serving.md"]


def test_the_tutorials_are_the_notebooks() -> None:
    stored = {path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").glob("*.ipynb")}
    assert stored == {path for path in pages.ELSEWHERE.values() if path.endswith(".ipynb")}


def documented() -> dict[str, Callable[..., Any]]:
    """The class and its public methods, which the page of the API shows."""
    methods = inspect.getmembers(Object2Vec, callable)
    return {"Object2Vec": Object2Vec, **{n: m for n, m in methods if not n.startswith("_")}}


@pytest.mark.parametrize("name", documented())
def test_parameters_told_of_together_have_one_default(name: str) -> None:
    """The page takes type and default of all from the first."""
    function = documented()[name]
    parameters = inspect.signature(function).parameters
    section = inspect.getdoc(function).partition("\nParameters\n---")[2].partition("\n---")[0]
    lines = re.findall(r"^(\w+(?:, \w+)+)( : .+)?$", section, re.MULTILINE)
    for names, kind in lines:
        assert kind, f"{names} have no type"
        defaults = {repr(parameters[other].default) for other in names.split(", ")}
        assert len(defaults) == 1, names


def test_links_are_turned_to_pages_of_the_site() -> None:
    text = (
        "[a](../container/README.md#build) [`b`](serving.md) [c](../examples/compare)\n"
        "[d](../setup.py) [e](https://example.org/x.md) [f](#here) `[g](../setup.py)`\n"
        "\n```py\n[h](../setup.py)\n```\n\n    [i](../setup.py)\n"
    )
    changed, missing = pages.site_links(text, "moving.md")
    assert missing == []
    assert changed == (
        "[a](container.md#build) [`b`](serving.md) [c](compare.md)\n"
        "d [e](https://example.org/x.md) [f](#here) `[g](../setup.py)`\n"
        "\n```py\n[h](../setup.py)\n```\n\n    [i](../setup.py)\n"
    )


def test_links_of_pages_from_elsewhere_start_from_their_file() -> None:
    changed, missing = pages.site_links("[a](../docs/moving.md) [b](Dockerfile)", "container.md")
    assert (changed, missing) == ("[a](moving.md) b", [])
    _, missing = pages.site_links("[a](moving.md#x)", "container.md")
    assert missing == ["moving.md#x"]


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Said."]},
        {"cell_type": "code", "source": ["a = 1\n", "a"], "outputs": []},
    ]
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells}))
    results = [{"source": "a = 1\na", "result": "```text\n1\n```\n"}]
    page, current = pages.notebook_page(tmp_path / "x.ipynb", results)
    assert current
    assert page == (
        "# Title\n\nThe notebook to this page: [x.ipynb](x.ipynb).\n\nSaid.\n\n"
        "```python\na = 1\na\n```\n\n"
        '<div class="result" markdown="1">\n\n```text\n1\n```\n\n</div>\n'
    )
    results[0]["source"] = "a = 2\na"
    assert not pages.notebook_page(tmp_path / "x.ipynb", results)[1]


@pytest.mark.parametrize("name", pages.NOTEBOOKS)
def test_the_results_of_the_tutorials_are_of_their_notebooks(name: str) -> None:
    page, current = pages.tutorial(name)
    assert current, f"run python docs/tutorials/keep_results.py {name}"
    assert page.count('<div class="result"') >= 4


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<script src="a.js"></script><a href="https://x.org">x</a>', []),
        ('<link rel="canonical" href="https://x.org/">', []),
        ('<script src="https://x.org/a.js"></script>', ["https://x.org/a.js"]),
        ('<link rel="stylesheet" href="//x.org/a.css">', ["//x.org/a.css"]),
    ],
    ids=["own", "canonical", "script", "style"],
)
def test_what_is_loaded_from_elsewhere_is_found(page: str, found: list[str]) -> None:
    assert own_files.foreign_loads(page) == found
