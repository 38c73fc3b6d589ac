# SPDX-License-Identifier: Apache-2.0
"""The page: one file that holds its style, its script and its data, and may load nothing."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from importlib import resources
from typing import Optional

from object2vec.logs import LOGGER_NAME
from object2vec.report import opening, sections
from object2vec.report.content import Content
from object2vec.report.markup import Markup, element, escape, joined
from object2vec.report.payloads import NAME_LENGTHS, packed_side
from object2vec.report.quality import quality
from object2vec.report.section_parts import section
from object2vec.report.tuned import tuned
from object2vec.version import __version__

#: What the map may show altogether.
MOST_POINTS = 50_000
_SCRIPTS = ("payload.js", "scatter.js", "explore.js", "start.js")
_SMALL, _LARGE = (1_682, 1_000_000), (MOST_POINTS, 4_000_000)
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_logger = logging.getLogger(LOGGER_NAME)


def most_bytes(points: int) -> int:
    """How large a page with so many points may be.

    Examples
    --------
    >>> most_bytes(943), most_bytes(1682), most_bytes(50_000)
    (1000000, 1000000, 4000000)
    """
    (few, small), (many, large) = _SMALL, _LARGE
    share = min(1.0, max(0.0, (points - few) / (many - few)))
    return int(small + share * (large - small))


def page(content: Content, made: str) -> bytes:
    """Make the page; names are cut where it would be too large otherwise.

    Parameters
    ----------
    content : Content
        What it tells.
    made : str
        When, and on what.

    Returns
    -------
    bytes
        HTML in UTF-8.
    """
    most = most_bytes(sum(len(side.names) for side in content.sides))
    found = b""
    for longest in NAME_LENGTHS:
        payloads = [
            element(
                "script", Markup(packed_side(side, longest)),
                type="text/plain", data_side=side.side, data_title=side.title,
            )
            for side in content.sides
        ]  # fmt: skip
        found = _page(content, made, payloads).encode()
        if len(found) <= most:
            break
    else:
        _logger.warning(
            "The report has %d bytes instead of at most %d: the names of its objects are long.",
            len(found), most,
        )  # fmt: skip
    return found


def _page(content: Content, made: str, payloads: list[Markup]) -> str:
    style = _file("report.css")
    script = _script()
    shown: list[tuple[str, str, Optional[Markup]]] = [
        ("training", "Training", sections.training(content)),
        ("quality", "Quality", quality(content)),
        ("map", "Map", _map(content)),
        ("data", "Data", sections.data(content)),
        ("tuning", "Tuning", tuned(content)),
        ("settings", "Settings", sections.settings(content)),
    ]
    there = [(key, title, part) for key, title, part in shown if part is not None]
    links = [element("li", element("a", title, href=f"#{key}")) for key, title, _ in there]
    return filled(
        "report.html",
        policy=_policy(style, script),
        version=__version__,
        title=content.title,
        style=Markup(style),
        script=Markup(script),
        navigation=joined(links),
        lead=opening.opened(content),
        made=made,
        figures=opening.figures(content),
        sections=joined((part for _, _, part in there), "\n"),
        payloads=joined(payloads, "\n"),
        footer=f"Made by object2vec {__version__}. This file holds all of it and loads nothing.",
    )


def filled(name: str, **values: str) -> Markup:
    """A template of the folder ``page`` with all its places filled; what is no `Markup` is escaped.

    Raises
    ------
    KeyError
        The template has a place for which nothing is given.
    """
    return Markup(_PLACE.sub(lambda match: escape(values[match[1]]), _file(name)))


def _map(content: Content) -> Optional[Markup]:
    notes = [element("p", sentence, class_="note") for sentence in content.unmapped]
    if not content.sides:
        return section("map", "Map", "", *notes) if notes else None
    about = "Embeddings in two dimensions: what is near each other is alike to the model."
    return section("map", "Map", about, filled("map.html"), *notes)


def _script() -> str:
    # one scope, which the page's window does not see
    return "".join(['"use strict";\n(() => {\n', *map(_file, _SCRIPTS), "})();\n"])


def _policy(style: str, script: str) -> str:
    """Nothing but this very script and this very style, and no connection anywhere."""
    kinds = {"script-src": script, "style-src": style}
    own = [f"{kind} 'sha256-{_digest(text)}'" for kind, text in kinds.items()]
    return "; ".join(
        ["default-src 'none'", *own, "img-src data:", "base-uri 'none'", "form-action 'none'"]
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file(name: str) -> str:
    return resources.files("object2vec.report").joinpath("page", name).read_text(encoding="utf-8")
