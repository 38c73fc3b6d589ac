# SPDX-License-Identifier: Apache-2.0
"""Runs notebooks of examples/ and keeps what their cells show, for the tutorials of the site.

The notebooks themselves are stored without. ``python docs/tutorials/keep_results.py [NAME …]`` runs
all of them or those that are named, on the data that ``OBJECT2VEC_DATA`` names.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parents[1] / "examples"


def result(cell: Any) -> str:
    """What a cell shows, as Markdown: a table as HTML, which Markdown takes, or a block of text."""
    shown = ""
    for output in cell.outputs:
        data = output.get("data", {})
        table: Optional[str] = data.get("text/html")
        if table and "<table" in table:
            table = table[table.index("<table") : table.index("</table>") + len("</table>")]
            table = re.sub(r"<(table|tr|th)\b[^>]*>", r"<\1>", table)
            shown += re.sub(r">\s+<", "><", table) + "\n"
        elif "text/plain" in data:
            shown += f"```text\n{data['text/plain']}\n```\n"
    return shown


def main(names: list[str]) -> None:
    """Run the notebooks and write what they show."""
    for name in names or sorted(path.stem for path in EXAMPLES.glob("*.ipynb")):
        notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            place = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=900, resources=place).execute()
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        kept = [{"source": cell.source, "result": result(cell)} for cell in cells]
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
