# SPDX-License-Identifier: Apache-2.0
"""Tests of errors.py: prefix, exit code and status follow from whose fault it is."""

from __future__ import annotations

import pytest

from object2vec.errors import (
    AlgorithmError,
    CustomerError,
    Object2VecError,
    PlatformError,
    failure_text,
)

pytestmark = pytest.mark.own_way


@pytest.mark.parametrize(
    ("family", "text", "exit_code", "http_status"),
    [
        (CustomerError, "Customer Error: a.json is empty.", 1, 400),
        (AlgorithmError, "Algorithm Error: a.json is empty.", 2, 500),
        (PlatformError, "Platform Error: a.json is empty.", 3, 500),
    ],
)
def test_family(family: type[Object2VecError], text: str, exit_code: int, http_status: int) -> None:
    error = family("a.json is empty.")
    assert failure_text(error) == text
    assert (error.exit_code, error.http_status) == (exit_code, http_status)
    assert str(error) == "a.json is empty."
    assert isinstance(error, Object2VecError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("boom"), "Algorithm Error: KeyError: 'boom'"),
        (ValueError(), "Algorithm Error: ValueError"),
        (KeyboardInterrupt(), "Algorithm Error: KeyboardInterrupt"),
        (
            RuntimeError("Check failed: shape\nStack trace:\n  [bt] (0) libmxnet.so"),
            "Algorithm Error: RuntimeError: Check failed: shape",
        ),
    ],
)
def test_foreign_exceptions_are_our_fault(error: BaseException, text: str) -> None:
    assert failure_text(error) == text


def test_failure_text_is_one_line() -> None:
    text = failure_text(CustomerError("'a\nb' is\r\n\tno name."))
    assert text == r"Customer Error: 'a\nb' is\r\n\tno name."
