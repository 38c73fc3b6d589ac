# SPDX-License-Identifier: Apache-2.0
"""A report as a test reads it: its text, its links, what its map is given."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np


class Parsed(HTMLParser):
    """The parts of a page that a test looks at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sides: dict[str, dict[str, Any]] = {}
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.policy = ""
        self.words: list[str] = []
        self._open: list[tuple[str, dict[str, Any]]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        given = dict(attrs)
        self._open.append((tag, given))
        self.links += [
            str(given[name]) for name in ("src", "href", "data", "action") if name in given
        ]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])

    def handle_data(self, data: str) -> None:
        tag, given = self._open[-1] if self._open else ("", {})
        if tag == "script" and "data-side" in given:
            self.sides[given["data-side"]] = unpacked(data)
        elif tag == "script":
            self.scripts.append(data)
        elif tag == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open.append(("", {}))


def unpacked(text: str) -> dict[str, Any]:
    """The header of a side, with its arrays in the place of their descriptions."""
    content = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    at, arrays = 4 + length, {}
    for array in header["arrays"]:
        kind = np.dtype(f"<{array['type']}")
        arrays[array["name"]] = np.frombuffer(content, kind, array["count"], at)
        at += array["count"] * kind.itemsize
    assert at == len(content)
    return {**header, "arrays": arrays}
