# SPDX-License-Identifier: Apache-2.0
"""The environment variables that the server reads, and what docs/serving.md says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional

import pytest

from object2vec.errors import CustomerError
from object2vec.serving.settings import LARGEST_ANSWER_MB, MEBIBYTE, Settings

pytestmark = pytest.mark.own_way

PAGE = Path(__file__).parent.parent / "docs/serving.md"
SERVING = " ".join(PAGE.read_text(encoding="utf-8").split())


class Recorded(dict):
    """Remembers which variables were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Optional[Any] = None) -> Any:
        self.names.add(name)
        return default


def test_the_page_names_every_variable_that_is_read_and_no_other() -> None:
    environment = Recorded()
    Settings.from_environment(environment)
    assert len(environment.names) > 10
    named = re.findall(r"`((?:SAGEMAKER|OBJECT2VEC|INFERENCE)_[A-Z0-9_]+)`", SERVING)
    assert set(named) == environment.names


def test_the_page_tells_the_defaults() -> None:
    usual, batch = Settings(), Settings.from_environment({"SAGEMAKER_BATCH": "true"})
    for words in (
        f"{usual.payload_bytes // MEBIBYTE} MB ({batch.payload_bytes // MEBIBYTE} MB for batch",
        f"{usual.answer_bytes // MEBIBYTE} MB; at most {LARGEST_ANSWER_MB:,}",
        f"port {usual.port}",
        f"{usual.timeout_seconds} s (an hour for batch",
        f"{usual.startup_seconds} s",
        f"{usual.idle_seconds} s without one (`OBJECT2VEC_IDLE_SECONDS`)",
        f"{usual.read_seconds} s to come",
        f"{usual.drain_seconds} s (`OBJECT2VEC_DRAIN_SECONDS`)",
    ):
        assert words in SERVING
    assert batch.timeout_seconds == 3600


def test_settings_without_variables() -> None:
    settings = Settings.from_environment({"SAGEMAKER_BIND_TO_PORT": ""})
    assert settings == Settings()
    assert (settings.port, settings.payload_bytes) == (8080, 6 * MEBIBYTE)
    assert (settings.timeout_seconds, settings.drain_seconds) == (60, 20)


def test_settings_keep_the_meaning_of_sagemaker_s_variables() -> None:
    settings = Settings.from_environment(
        {
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_SAFE_PORT_RANGE": "1111-2222",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "2",
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "Application/JsonLines",
            "SAGEMAKER_MODEL_SERVER_VMARGS": "-Xmx1g -Da=b",
            "INFERENCE_PREFERRED_MODE": "classification",
        }
    )
    assert settings == Settings(
        port=9000,
        safe_ports=(1111, 2222),
        workers=3,
        timeout_seconds=120,
        payload_bytes=100 * MEBIBYTE,
        default_accept="application/jsonlines",
        jvm_options=("-Xmx1g", "-Da=b"),
        preferred_mode="classification",
    )
    more = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "7"}
    assert Settings.from_environment(more).payload_bytes == 7 * MEBIBYTE
    assert Settings.from_environment(more).timeout_seconds == 3600
    seconds = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "2", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "9"}
    assert Settings.from_environment(seconds).timeout_seconds == 9
    own = {"OBJECT2VEC_IDLE_SECONDS": "7", "OBJECT2VEC_READ_SECONDS": "8"}
    settings = Settings.from_environment({**own, "OBJECT2VEC_DRAIN_SECONDS": "0"})
    assert (settings.idle_seconds, settings.read_seconds, settings.drain_seconds) == (7, 8, 0)


def test_variables_of_thousands_of_characters_are_refused_shortened() -> None:
    names = [
        "SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_SAFE_PORT_RANGE",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "INFERENCE_PREFERRED_MODE",
    ]  # fmt: skip
    for value in ("9" * 5000, "9" * 5000 + "-" + "9" * 5000, "²-³", "a\nb\x1b[2J"):
        with pytest.raises(CustomerError) as caught:
            Settings.from_environment(dict.fromkeys(names, value))
        text = str(caught.value)
        assert all(f"{name}=" in text for name in names) and "two ports such as" in text
        assert len(text) < 2500 and text.isprintable()


def test_all_wrong_variables_are_named_at_once() -> None:
    with pytest.raises(CustomerError) as caught:
        Settings.from_environment(
            {
                "SAGEMAKER_BIND_TO_PORT": "x",
                "INFERENCE_PREFERRED_MODE": "gpu",
                "SAGEMAKER_BATCH": "1",
            }
        )
    assert str(caught.value) == (
        "SAGEMAKER_BIND_TO_PORT=x should be a whole number from 1 to 32766; "
        "INFERENCE_PREFERRED_MODE=gpu should be classification or embedding."
    )
