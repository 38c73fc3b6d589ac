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


def on_files(files: Any, config: Any) -> Any:
    """Add to the files of docs/ those that stand elsewhere, and the notebooks to download."""
    from mkdocs.structure.files import File

    for page, path in ELSEWHERE.items():
        if path.endswith(".ipynb"):
            files.append(File.generated(config, page, content=notebook_page(ROOT / path)))
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


def notebook_page(path: Path) -> str:
    """A notebook's cells as Markdown, with a link to the notebook below its title."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, *others = ("".join(cell["source"]).strip() for cell in cells)
    kinds = [cell["cell_type"] for cell in cells[1:]]
    heading, _, text = title.partition("\n")
    parts = [heading, f"The notebook to this page: [{path.name}]({path.name}).", text.strip()]
    for kind, source in zip(kinds, others):
        parts.append(f"```python\n{source}\n```" if kind == "code" else source)
    return "\n\n".join(parts) + "\n"
