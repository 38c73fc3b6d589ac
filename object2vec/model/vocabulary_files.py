# SPDX-License-Identifier: Apache-2.0
"""Checks a vocabulary of a model, in gluonnlp's JSON, before gluonnlp reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from object2vec.errors import CustomerError
from object2vec.model.manifest import DAMAGED
from object2vec.text import quoted

_SPECIAL_NAME = re.compile(r"[a-z][a-z0-9_]*_token")


def check_vocabulary(values: Any, path: Path) -> None:
    """Check that each token has one id, and what else gluonnlp takes for granted.

    Parameters
    ----------
    values : Any
        What the file's JSON holds.
    path : Path
        The file, for errors.

    Raises
    ------
    CustomerError
        For the first thing that is not right.
    """
    fault = _fault(values)
    if fault:
        raise CustomerError(f"{path} is no vocabulary of gluonnlp: {fault}; {DAMAGED}.")


def _fault(values: Any) -> str:
    keys = ["identifiers_to_tokens", "idx_to_token", "reserved_tokens"]
    keys += ["token_to_idx", "unknown_token"]
    if not isinstance(values, dict) or sorted(values) != keys:
        return f"it should be an object of {', '.join(keys)}"
    tokens, ids = values["idx_to_token"], values["token_to_idx"]
    if not (isinstance(tokens, list) and tokens and all(isinstance(t, str) for t in tokens)):
        return "'idx_to_token' should be a list of tokens"
    if not isinstance(ids, dict) or len(ids) != len(tokens):
        return f"'token_to_idx' should give each of {len(tokens)} tokens its id"
    for position, token in enumerate(tokens):
        if type(ids.get(token)) is not int or ids[token] != position:
            return f"'token_to_idx' should give {quoted(token)} the id {position}"
    return _fault_of_special(values, ids)


def _fault_of_special(values: dict[str, Any], ids: dict[str, int]) -> str:
    unknown, special = values["unknown_token"], values["identifiers_to_tokens"]
    reserved = [] if values["reserved_tokens"] is None else values["reserved_tokens"]
    if not isinstance(special, dict) or not isinstance(reserved, list):
        return "'reserved_tokens' should be a list and 'identifiers_to_tokens' an object"
    for name in special:
        # gluonnlp makes an attribute of its class of each name
        if not _SPECIAL_NAME.fullmatch(name) or name == "unknown_token":
            return f"'identifiers_to_tokens' holds the name {quoted(name)}"
    for token in (unknown, *special.values()):
        if token is not None and not (isinstance(token, str) and token in ids):
            return "'unknown_token' and 'identifiers_to_tokens' should name tokens that have an id"
    known = [token for token in reserved if isinstance(token, str) and token in ids]
    if len(set(known)) < len(reserved):
        return "'reserved_tokens' should name tokens that have an id, each once"
    return ""
