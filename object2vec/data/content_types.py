# SPDX-License-Identifier: Apache-2.0
"""What a content type says of a channel or of a file: its format, and how a table is written."""

from __future__ import annotations

from typing import NamedTuple, Optional

from object2vec.data.foreign_formats import TABLE_ADVICE
from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import PAIR_CONTENT_TYPES, TABLE_CONTENT_TYPES
from object2vec.text import quoted

_HEADERS = {"present": True, "absent": False}


class TableParameters(NamedTuple):
    """The parameters of a table's content type, as RFC 4180 has them; None is not said.

    Attributes
    ----------
    header : bool, optional
        Whether the first row names the columns.
    charset : str, optional
        The encoding.
    """

    header: Optional[bool] = None
    charset: Optional[str] = None


def table_parameters(content_type: Optional[str], whose: str) -> TableParameters:
    """What a content type such as ``text/csv; header=absent; charset=latin-1`` says.

    Parameters
    ----------
    content_type : str, optional
        None says nothing.
    whose : str
        What has it, for errors.

    Raises
    ------
    CustomerError
        The header is neither present nor absent.
    """
    parts = (part.partition("=") for part in (content_type or "").split(";")[1:])
    said = {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in parts}
    header = said.get("header")
    if header is not None and header not in _HEADERS:
        raise CustomerError(
            f"{whose} has the content type {quoted(content_type)}, but header must be present or "
            "absent."
        )
    return TableParameters(None if header is None else _HEADERS[header], said.get("charset"))


def check_content_type(
    content_type: Optional[str], channel: str, *, takes_tables: bool = False
) -> None:
    """Check what a job says of a channel.

    Parameters
    ----------
    content_type : str, optional
        None if it says nothing.
    channel : str
        Name of the channel, for errors.
    takes_tables : bool
        Whether it may hold a table: something says what the columns are.

    Raises
    ------
    CustomerError
        The type is neither one of JSON Lines nor one of a table that may be there, or says of a
        header what it cannot say.
    """
    media_type = (content_type or "").split(";")[0].strip().lower()
    if not media_type or media_type in PAIR_CONTENT_TYPES:
        return
    is_table = media_type in TABLE_CONTENT_TYPES
    if takes_tables and is_table:
        table_parameters(content_type, f"The {channel} channel")
        return
    allowed = [PAIR_CONTENT_TYPES[0], *(TABLE_CONTENT_TYPES if takes_tables else ())]
    raise CustomerError(
        f"The {channel} channel has the content type {quoted(content_type)}; it must be "
        f"{' or '.join(allowed)}{f', or {TABLE_ADVICE}' if is_table else ''}"
    )
