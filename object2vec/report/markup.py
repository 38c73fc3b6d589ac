# SPDX-License-Identifier: Apache-2.0
"""HTML from values: whatever is no `Markup` already is escaped, so that names stay names."""

from __future__ import annotations

import html
from typing import Any, Union

from object2vec.text import escaped

# Elements that have no end tag.
_VOID = ("br", "line", "rect", "circle", "polyline")


class Markup(str):
    """Text that is HTML; anything else becomes it by `escape`."""


Content = Union[str, int, float, None]


def escape(value: Content) -> Markup:
    """A value as text of a page or of an attribute: signs of HTML and what does not print escaped.

    Examples
    --------
    >>> escape("</script><img src=x>")
    '&lt;/script&gt;&lt;img src=x&gt;'
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(escaped("" if value is None else str(value))))


def element(name: str, *children: Content, **attributes: Any) -> Markup:
    """An element; of attributes ``class_`` is class and other underscores are hyphens.

    Parameters
    ----------
    name : str
        Such as ``"td"``.
    *children : Markup, str, int, float or None
        What is no `Markup` is escaped.
    **attributes : str, int, float, bool or None
        None and False leave the attribute out, True gives it without a value.

    Examples
    --------
    >>> element("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    given = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        given += f" {key}" if value is True else f' {key}="{escape(value)}"'
    if name in _VOID and not children:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def broken(name: str) -> Markup:
    """A name of words with underscores between them, which may go on in the next line there."""
    return joined(name.split("_"), "_<wbr>")


def joined(parts: Any, between: str = "") -> Markup:
    """Parts one after the other, each escaped unless it is `Markup`."""
    return Markup(between.join(map(escape, parts)))


def table(
    head: Any, rows: Any, caption: str, *, numbers: Any = (), class_: str = "", hidden: bool = False
) -> Markup:
    """A table whose first column heads its rows.

    Parameters
    ----------
    head, rows : iterable of cells, and of such iterables
        The columns' titles, and the cells.
    caption : str
        What the table is, for those who cannot see it; seen by all unless `hidden`.
    numbers : collection of int
        Columns of numbers, counting from 0: they stand right.
    class_ : str
        Of the element.
    hidden : bool
        Whether the caption is for screen readers alone.
    """

    def cells(kind: str, row: Any) -> Markup:
        return joined(
            element(
                "th" if kind == "head" or column == 0 else "td",
                cell,
                scope="col" if kind == "head" else "row" if column == 0 else None,
                class_="number" if column in numbers else None,
            )
            for column, cell in enumerate(row)
        )

    return element(
        "div",
        element(
            "table",
            element("caption", caption, class_="unseen" if hidden else None),
            element("thead", element("tr", cells("head", head))),
            element("tbody", joined(element("tr", cells("body", row)) for row in rows)),
            class_=class_ or None,
        ),
        class_="scrolling",
    )
