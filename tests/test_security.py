# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md: every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_way

TESTS = Path(__file__).parent


def test_every_test_that_is_named_exists() -> None:
    text = (TESTS.parent / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+\.py)::(\w+)`", text))
    assert len(named) > 50
    # None is named in a way that the pattern does not see.
    assert len(re.findall(r"\btest_\w+\.py::", text)) == len(
        re.findall(r"`test_\w+\.py::\w+`", text)
    )
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (TESTS / file).is_file()
        or f"\ndef {name}(" not in (TESTS / file).read_text(encoding="utf-8")
    ]
    assert missing == []
