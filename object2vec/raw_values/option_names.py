# SPDX-License-Identifier: Apache-2.0
"""What options are called where they were given: in Python, on a command line, in a job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Optional

#: On a command line; the keys are what Python calls them.
COMMAND_LINE = {
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("in0", "in1", "label", "label_kind", "weight", "preset", "max_length", "by", "time"),
            *("kind", "repeat", "bins", "explode", "min_count", "max_size"),
            *("tokenizer", "special_tokens", "stem"),
            *("separator", "encoding"),
            *("task", "relevant_from", "sampled", "hybrid", "k", "candidates", "metric"),
            "threshold",
        )
    },
    "tag separator": "--tag-separator",
    "lower": "--keep-case",
    "quotes": "--no-quotes",
    "header": "--no-header",
    "class_": "--class",
}
#: Of a training job, which has no other ones for tables; the encoding is the content type's.
HYPERPARAMETERS = {
    **{
        name: f"_{name}"
        for name in ("in0", "in1", "label", "label_kind", "weight", "preset", "tokenizer")
    },
    "encoding": "charset",
}
_PYTHON = {"tag separator": "separator"}
_called: ContextVar[Optional[Mapping[str, str]]] = ContextVar("called", default=None)


@contextlib.contextmanager
def calling_options(names: Mapping[str, str]) -> Iterator[None]:
    """Let errors call options so while this lasts: `COMMAND_LINE` or `HYPERPARAMETERS`."""
    token = _called.set(names)
    try:
        yield
    finally:
        _called.reset(token)


def option(name: str) -> str:
    """What an option is called, by its name in Python."""
    called = _called.get()
    return _PYTHON.get(name, name) if called is None else called.get(name, name)


def option_with(name: str, value: str) -> str:
    """An option with a value, as it is written: ``separator='…'``, ``--separator '…'``.

    Nothing where there is no such option. A switch of the command line stands alone.
    """
    called = _called.get()
    if called is None:
        return f"{_PYTHON.get(name, name)}={value}"
    if name not in called:
        return ""
    if called is HYPERPARAMETERS:
        return f"{called[name]}={value.strip(chr(39))}"
    return called[name] if value in ("True", "False") else f"{called[name]} {value}"
