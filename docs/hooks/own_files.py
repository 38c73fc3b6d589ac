# SPDX-License-Identifier: Apache-2.0
"""Holds the built site to what it brings itself: no page loads anything from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

# Tags that load what their attribute names; of links only those of these kinds do.
_LOADS = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "link": "href",
    "object": "data", "script": "src", "source": "src", "track": "src", "video": "src",
}  # fmt: skip
_NOT_LOADED = {"canonical", "prev", "next", "edit", "alternate"}


class _Loads(HTMLParser):
    """Finds what a page loads from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        given = dict(attrs)
        address = given.get(_LOADS.get(tag, "")) or ""
        if "//" in address.partition("?")[0] and given.get("rel") not in _NOT_LOADED:
            self.found.append(address)


def foreign_loads(page: str) -> list[str]:
    """The addresses on other hosts that a page of HTML loads."""
    parser = _Loads()
    parser.feed(page)
    return parser.found


def on_post_build(config: Any) -> None:
    """Fail where a page of the site loads from elsewhere.

    Raises
    ------
    mkdocs.exceptions.PluginError
        It names page and address.
    """
    from mkdocs.exceptions import PluginError

    site = Path(config["site_dir"])
    for path in sorted(site.rglob("*.html")):
        for address in foreign_loads(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.relative_to(site)} loads {address}, which is not the site's.")
    for path in sorted(site.rglob("*.css")):
        if "url(http" in path.read_text(encoding="utf-8").replace('"', "").replace("'", ""):
            raise PluginError(f"{path.relative_to(site)} loads from elsewhere.")
