# SPDX-License-Identifier: Apache-2.0
"""Run a script as often as asked, and print its lines and seconds: measure.py SCRIPT [RUNS].

Empty lines, comments and the script's docstring are not counted. Seconds are from start to end of
the process, with its imports; the processor's are those of all its threads.
"""

import ast
import resource
import subprocess
import sys
import time
from pathlib import Path


def lines_of(path: Path) -> tuple[int, int]:
    """How many lines of code a script has as it is laid out, and how many of imports."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    docstring = tree.body[:1] if ast.get_docstring(tree) else []
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    filled = {
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#")
    }
    imported = _lines(imports)
    return len(filled - _lines(docstring) - imported), len(imported)


def _lines(nodes: list[ast.stmt]) -> set[int]:
    return {number for node in nodes for number in range(node.lineno, node.end_lineno + 1)}


def main() -> None:
    """Run and tell."""
    script, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    code, imports = lines_of(script)
    print(f"{script.name}: {code} lines, {imports} of imports")
    for _ in range(runs):
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, str(script)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{script.name}: {time.monotonic() - begun:.1f} s, {used:.1f} s of the processor")


if __name__ == "__main__":
    main()
