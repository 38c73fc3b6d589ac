# SPDX-License-Identifier: Apache-2.0
"""Run a script as often as asked, and print its lines and seconds: measure.py SCRIPT [RUNS].

Lines are those of code: without empty ones, comments, the docstring and imports. Seconds are from
start to end of the process, with its imports; the processor's are those of all its threads.
"""

import ast
import resource
import subprocess
import sys
import time
from pathlib import Path


def lines_of(path: Path) -> int:
    """How many lines of code a script has, each statement as it is laid out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first = [*tree.body[:1]] if ast.get_docstring(tree) else []
    left_out = {line for node in first for line in range(node.lineno, node.end_lineno + 1)}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    text = path.read_text(encoding="utf-8").splitlines()
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in left_out
        for number, line in enumerate(text, 1)
    )


def main() -> None:
    """Run and tell."""
    script, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"{script.name}: {lines_of(script)} lines")
    for _ in range(runs):
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, str(script)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{script.name}: {time.monotonic() - begun:.1f} s, {used:.1f} s of the processor")


if __name__ == "__main__":
    main()
