# SPDX-License-Identifier: Apache-2.0
"""The examples as they stand in the texts: README, pages of docs/, help and their like."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Iterator
from pathlib import Path

from object2vec.cli import main

ROOT = Path(__file__).parent.parent
PAGES = tuple(sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
TEXTS = ("README.md", "CONTRIBUTING.md", "container/README.md", "examples/README.md", *PAGES)
HELP = "object2vec --help"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(
    rf"{_FENCE.pattern}|(?<=\n\n)((?:(?: {{4}}[^\n]*)?\n)+)", re.DOTALL | re.MULTILINE
)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language in a Markdown text."""
    return [content for name, content in _FENCE.findall(text) if name == language]


@functools.cache
def steps() -> dict[str, list[tuple[str, str]]]:
    """All examples in their order, by the text that they stand in: ``sh`` or ``python``, and it.

    Those for a shell are commands, each with the lines that it goes on in; those in Python blocks.
    """
    found = {name: _of_markdown((ROOT / name).read_text(encoding="utf-8")) for name in TEXTS}
    for command in ["", *_commands()]:
        name = f"object2vec {command} --help".replace("  ", " ")
        found[name] = [("sh", line) for line in _of_help(command)]
    return found


def examples() -> dict[str, list[str]]:
    """The examples for a shell, by the text that they stand in."""
    return {
        name: [step for language, step in found if language == "sh"]
        for name, found in steps().items()
    }


def _commands() -> list[str]:
    listed = re.search(r"^commands:\n(.*?)\n\n", _help(""), re.DOTALL | re.MULTILINE)
    assert listed
    return re.findall(r"^ {4}(\w+) ", listed.group(1), re.MULTILINE)


@functools.cache
def _help(command: str) -> str:
    target = io.StringIO()
    with contextlib.redirect_stdout(target), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return target.getvalue()


def _of_help(command: str) -> list[str]:
    found = re.findall(r"^examples:\n(.*?)^exit codes:", _help(command), re.DOTALL | re.MULTILINE)
    return [line for block in found for line in _lines(block)]


def _of_markdown(text: str) -> list[tuple[str, str]]:
    found = []
    for block in _BLOCK.finditer(text):
        language, fenced, indented = block.groups()
        if language == "python":
            found.append((language, fenced))
        elif language == "sh" or indented:
            found += [("sh", line) for line in _lines(fenced or indented)]
    return found


def _lines(block: str) -> Iterator[str]:
    """A block's commands: quotes that are open and a backslash at the end join lines."""
    command = ""
    for line in block.splitlines():
        command = f"{command}\n{line}" if command else line.strip()
        if command.endswith("\\") or command.count("'") % 2:
            continue
        command = re.sub(r"\s+#( .*)?$", "", command)
        if command and not command.startswith("#"):
            yield command
        command = ""
    assert not command, f"an example does not end: {command}"
