# SPDX-License-Identifier: Apache-2.0
"""The examples for a shell as they stand in the texts: README, help and their like."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

from object2vec.cli import main

ROOT = Path(__file__).parent.parent
TEXTS = ("README.md", "CONTRIBUTING.md", "container/README.md", "examples/README.md")
HELP = "object2vec --help"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)+")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language in a Markdown text."""
    return [content for name, content in _FENCE.findall(text) if name == language]


def examples() -> dict[str, list[str]]:
    """All examples, by the text that they stand in; each with the lines that it goes on in."""
    found = {name: _of_markdown((ROOT / name).read_text(encoding="utf-8")) for name in TEXTS}
    for command in ["", *_commands()]:
        found[f"object2vec {command} --help".replace("  ", " ")] = _of_help(command)
    return found


def _commands() -> list[str]:
    listed = re.search(r"^commands:\n(.*?)\n\n", _help(""), re.DOTALL | re.MULTILINE)
    assert listed
    return re.findall(r"^ {4}(\w+) ", listed.group(1), re.MULTILINE)


def _help(command: str) -> str:
    target = io.StringIO()
    with contextlib.redirect_stdout(target), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return target.getvalue()


def _of_help(command: str) -> list[str]:
    found = re.findall(r"^examples:\n(.*?)^exit codes:", _help(command), re.DOTALL | re.MULTILINE)
    return [line for block in found for line in _lines(block)]


def _of_markdown(text: str) -> list[str]:
    shell = "".join(blocks(text, "sh"))
    rest = _FENCE.sub("", text)
    return [*_lines(shell), *(line for block in _INDENTED.findall(rest) for line in _lines(block))]


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
