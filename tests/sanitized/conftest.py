# SPDX-License-Identifier: Apache-2.0
"""What the checks under the sanitizers share; `make sanitize` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=range(3), ids=["AVX-512", "AVX2", "any CPU"])
def kind(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a CPU of this kind would run; this one may be a lesser one."""
    from sanitized_library import kinds_passed_over

    kinds_passed_over.value = request.param
    yield
    kinds_passed_over.value = 0


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
