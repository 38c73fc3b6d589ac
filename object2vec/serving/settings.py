# SPDX-License-Identifier: Apache-2.0
"""What the environment variables of SageMaker and of object2vec say about serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional, TypeVar

from object2vec.errors import CustomerError
from object2vec.serving.media_types import ContentType, NotAcceptableError, choose_accept
from object2vec.text import named, shown, whole_number

MEBIBYTE = 1 << 20
MODES = ("classification", "embedding")
# The model server reads ports as 15 bits.
LAST_PORT = 32766
_LARGEST_PAYLOAD_MB = 1024
# An array of Java holds no more.
LARGEST_ANSWER_MB = 2047
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Parameters
    ----------
    port : int
        ``SAGEMAKER_BIND_TO_PORT``.
    workers : int, optional
        ``SAGEMAKER_MODEL_SERVER_WORKERS``: Python processes; by default as many as cores and
        memory allow.
    payload_bytes : int
        ``SAGEMAKER_MAX_PAYLOAD_IN_MB``; 6 MB, and 100 MB where ``SAGEMAKER_BATCH`` is true.
    answer_bytes : int
        ``OBJECT2VEC_MAX_ANSWER_IN_MB``; 256 MB.
    timeout_seconds : int
        ``SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS``, or ``SAGEMAKER_MODEL_SERVER_TIMEOUT``, which is
        in minutes; a worker that answers later is started again, and its request gets 504. A
        minute, and an hour where ``SAGEMAKER_BATCH`` is true.
    startup_seconds : int
        ``SAGEMAKER_STARTUP_TIMEOUT``: the start is given up after that. Ten minutes.
    idle_seconds : int
        ``OBJECT2VEC_IDLE_SECONDS``: a connection without a request is closed after that. 120.
    read_seconds : int
        ``OBJECT2VEC_READ_SECONDS``: what a request's head may take to come in, and in which at
        least 1 kB for each second must come of its body. 20.
    drain_seconds : int
        ``OBJECT2VEC_DRAIN_SECONDS``: how long requests at work may take after SIGTERM. 20.
    default_accept : str, optional
        ``SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT``: format of answers to requests that do not say
        theirs; by default that of the request.
    preferred_mode : str, optional
        ``INFERENCE_PREFERRED_MODE``: which network goes to the GPU, the other to the CPU.
    safe_ports : tuple of int
        ``SAGEMAKER_SAFE_PORT_RANGE``, first and last: checked, and not needed, because the server
        opens no port but `port`.
    jvm_options : tuple of str
        ``SAGEMAKER_MODEL_SERVER_VMARGS``.
    """

    port: int = 8080
    workers: Optional[int] = None
    payload_bytes: int = 6 * MEBIBYTE
    answer_bytes: int = 256 * MEBIBYTE
    timeout_seconds: int = 60
    startup_seconds: int = 600
    idle_seconds: int = 120
    read_seconds: int = 20
    drain_seconds: int = 20
    default_accept: Optional[str] = None
    preferred_mode: Optional[str] = None
    safe_ports: tuple[int, int] = (20000, 32000)
    jvm_options: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables; an empty one counts as not set.

        Raises
        ------
        CustomerError
            Names every variable with a wrong value, and what would be right.
        """
        problems: list[str] = []

        def number(name: str, default: Optional[int], low: int, high: int) -> Optional[int]:
            text = environment.get(name, "").strip()
            if not text:
                return default
            value = whole_number(text, low, high)
            if value is not None:
                return value
            problems.append(f"{name}={named(text)} should be a whole number from {low} to {high}")
            return default

        batch = environment.get("SAGEMAKER_BATCH", "").strip().lower() == "true"
        minutes = number("SAGEMAKER_MODEL_SERVER_TIMEOUT", 60 if batch else 1, 1, 1440)
        seconds = number("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", None, 1, 86400)
        payload = number("SAGEMAKER_MAX_PAYLOAD_IN_MB", 100 if batch else 6, 1, _LARGEST_PAYLOAD_MB)
        answer = number("OBJECT2VEC_MAX_ANSWER_IN_MB", 256, 1, LARGEST_ANSWER_MB)
        port = number("SAGEMAKER_BIND_TO_PORT", 8080, 1, LAST_PORT)
        startup = number("SAGEMAKER_STARTUP_TIMEOUT", 600, 1, 86400)
        idle = number("OBJECT2VEC_IDLE_SECONDS", cls.idle_seconds, 1, 86400)
        read = number("OBJECT2VEC_READ_SECONDS", cls.read_seconds, 1, 86400)
        drain = number("OBJECT2VEC_DRAIN_SECONDS", cls.drain_seconds, 0, 86400)
        workers = number("SAGEMAKER_MODEL_SERVER_WORKERS", None, 1, 256)
        ports = _check(problems, environment, "SAGEMAKER_SAFE_PORT_RANGE", _port_range)
        accept = _check(problems, environment, "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", _accept)
        mode = _check(problems, environment, "INFERENCE_PREFERRED_MODE", _mode)
        if problems:
            raise CustomerError("; ".join(problems) + ".")
        assert minutes and payload and answer and port and startup and idle and read
        assert drain is not None
        return cls(
            port=port,
            workers=workers,
            payload_bytes=payload * MEBIBYTE,
            answer_bytes=answer * MEBIBYTE,
            timeout_seconds=seconds or minutes * 60,
            startup_seconds=startup,
            idle_seconds=idle,
            read_seconds=read,
            drain_seconds=drain,
            default_accept=accept,
            preferred_mode=mode,
            safe_ports=ports or cls.safe_ports,
            jvm_options=tuple(environment.get("SAGEMAKER_MODEL_SERVER_VMARGS", "").split()),
        )


def check_port(port: int) -> int:
    """A port that the model server takes.

    Raises
    ------
    CustomerError
        If it is none.
    """
    if not 1 <= port <= LAST_PORT:
        raise CustomerError(
            f"The port {shown(port)} should be from 1 to {LAST_PORT}: Multi Model Server takes no "
            "higher."
        )
    return port


def _check(
    problems: list[str],
    environment: Mapping[str, str],
    name: str,
    read: Callable[[str], _Value],
) -> Optional[_Value]:
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        return read(text)
    except ValueError as error:
        problems.append(f"{name}={named(text)} should be {error}")
        return None


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(" or ".join(MODES))
    return text


def _accept(text: str) -> str:
    try:
        return choose_accept(text, ContentType("application/json"))
    except NotAcceptableError:
        raise ValueError("application/json or application/jsonlines") from None


def _port_range(text: str) -> tuple[int, int]:
    first, last = (whole_number(part, 1, 65535) for part in text.partition("-")[::2])
    if first is None or last is None or first > last:
        raise ValueError("two ports such as 1111-2222")
    return first, last
