# SPDX-License-Identifier: Apache-2.0
"""Pages of the site that stand elsewhere in the project, notebooks too, and links between all."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ("film_ratings", "document_embedding", "sentence_similarity", "film_genres")
# A page of the site, and the file of the project that it is.
ELSEWHERE = {
    "index.md": "README.md",
    "examples.md": "examples/README.md",
    "compare.md": "examples/compare/README.md",
    "container.md": "container/README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    **{f"tutorials/{name}.md": f"examples/{name}.ipynb" for name in NOTEBOOKS},
}
PAGE_OF = {path: page for page, path in ELSEWHERE.items()}
# Code, in which nothing is a link, or a link: its text and where it leads.
_CODE_OR_LINK = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)$|^ {4}[^\n]*$|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|\[(?P<text>(?:`[^`]*`|[^\[\]`])*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)
_log = logging.getLogger("mkdocs.hooks.pages")


def on_config(config: Any) -> Any:
    """Put the pages of docs/ that the navigation does not list at the end of the guides."""
    listed = set(re.findall(r"[\w/]+\.md", str(config["nav"])))
    guides = next(entry["Guides"] for entry in config["nav"] if "Guides" in entry)
    guides += sorted({path.name for path in (ROOT / "docs").glob("*.md")} - listed)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add to the files of docs/ those that stand elsewhere, and the notebooks to download."""
    from mkdocs.structure.files import File

    for page, path in ELSEWHERE.items():
        if path.endswith(".ipynb"):
            text, current = tutorial(Path(path).stem)
            if not current:
                _log.warning(f"{path} has changed: docs/tutorials/keep_results.py runs it.")
            files.append(File.generated(config, page, content=text))
            copy = f"tutorials/{Path(path).name}"
            files.append(File.generated(config, copy, abs_src_path=str(ROOT / path)))
        else:
            files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let a page's links, which suit its file in the project, suit the site."""
    uri = page.file.src_uri
    if uri.startswith("tutorials/"):  # written for the site
        return markdown
    changed, missing = site_links(markdown, uri)
    for target in missing:
        _log.warning(f"{ELSEWHERE.get(uri, f'docs/{uri}')} links to {target}, which is not there.")
    return changed


def site_links(markdown: str, page: str) -> tuple[str, list[str]]:
    """A page's text with links for the site, and the targets that do not exist.

    A link to a file that is no page of the site becomes its text.
    """
    path = ELSEWHERE.get(page, f"docs/{page}")
    missing = []

    def replaced(found: re.Match[str]) -> str:
        target = found["target"]
        if target is None or re.match(r"[a-z]+:|#", target):
            return found[0]
        file, _, anchor = target.partition("#")
        file = normpath(join(dirname(path), unquote(file)))
        if not (ROOT / file).exists():
            missing.append(target)
            return found[0]
        # an overview's README stands for its folder
        other = PAGE_OF.get(file) or PAGE_OF.get(f"{file}/README.md")
        if other is None and file.startswith("docs/"):
            other = file[len("docs/") :]
        if other is None:
            return found["text"]
        other = relpath(other, dirname(page) or os.curdir)
        return f"[{found['text']}]({other}{'#' if anchor else ''}{anchor})"

    return _CODE_OR_LINK.sub(replaced, markdown), missing


def notebook_page(path: Path, results: list[dict[str, str]]) -> tuple[str, bool]:
    """A notebook as Markdown, and whether the results, of docs/tutorials/, are of its cells.

    A link to the notebook stands below its title; what a cell shows stands behind it.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, *sources = ("".join(cell["source"]).strip() for cell in cells)
    heading, _, text = title.partition("\n")
    parts = [heading, f"The notebook to this page: [{path.name}]({path.name}).", text.strip()]
    kinds = [cell["cell_type"] for cell in cells[1:]]
    shown = iter(results)
    for kind, source in zip(kinds, sources):
        if kind == "markdown":
            parts.append(source)
            continue
        kept = next(shown, {"source": "", "result": ""})
        if kept["source"] != source:
            return "\n\n".join(parts) + "\n", False
        parts.append(f"```python\n{source}\n```")
        if kept["result"]:
            parts.append(f'<div class="result" markdown="1">\n\n{kept["result"]}\n</div>')
    return "\n\n".join(parts) + "\n", True


def tutorial(name: str) -> tuple[str, bool]:
    """The page of a notebook of examples/, and whether its results are current."""
    kept = ROOT / f"docs/tutorials/{name}.json"
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    return notebook_page(ROOT / f"examples/{name}.ipynb", results)
