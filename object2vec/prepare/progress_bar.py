# SPDX-License-Identifier: Apache-2.0
"""Progress bars of the passes over a table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Optional


@contextlib.contextmanager
def table_progress(shown: bool) -> Iterator[Optional[Callable[[str, int], None]]]:
    """A bar on standard error for each pass, one at a time.

    Parameters
    ----------
    shown : bool
        Whether somebody looks on.

    Yields
    ------
    callable or None
        What `table_pairs` takes as `progress`; None where nothing is shown.
    """
    if not shown:
        yield None
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(name: str, rows: int) -> None:
        if name not in bars:
            for bar in bars.values():
                bar.close()
            bars[name] = tqdm(desc=name.capitalize(), unit=" rows", leave=False)
        bars[name].update(rows - bars[name].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
