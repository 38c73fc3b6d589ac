# SPDX-License-Identifier: Apache-2.0
"""What the checks under the sanitizers share; `make sanitize` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cpu_isas import ISAS, computing_with


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The compiled part as on a CPU whose best is this; skipped where this CPU lacks it."""
    from sanitized_library import library

    with computing_with(library, request.param):
        yield request.param


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """Whatever the compiled part allocates it frees."""
    from sanitized_library import allocations_live

    before = allocations_live.value
    yield
    assert allocations_live.value == before, "the compiled part did not free all of its memory"


@pytest.fixture
def engine() -> Iterator[Any]:
    """An engine that stands in for MXNet's; nothing is held at the end."""
    from sanitized_library import Engine

    engine = Engine()
    yield engine
    engine.check_that_nothing_is_held()
