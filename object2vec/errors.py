# SPDX-License-Identifier: Apache-2.0
"""The three families of errors: whose fault it is decides prefix, exit code and HTTP status."""

from __future__ import annotations

from object2vec.text import LONGEST_SENTENCE, bounded

# What a shell says of a command that Ctrl-C has ended.
EXIT_INTERRUPTED = 130


class Object2VecError(Exception):
    """Base of all errors that this package raises on purpose.

    Parameters
    ----------
    message : str
        One sentence that names what was found, where, and what would be right. Whatever it quotes
        from outside, it goes out on one line, without control characters and of bounded length.

    Attributes
    ----------
    exit_code : int
        Exit code of the command when the error ends it.
    prefix : str
        Opening words of the failure file.
    http_status : int
        Status of the answer when the error ends a request.
    """

    exit_code = 2
    prefix = "Algorithm Error"
    http_status = 500

    def __init__(self, message: str) -> None:
        self.message = bounded(message, LONGEST_SENTENCE)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class CustomerError(Object2VecError):
    """Something that the user can mend: a hyperparameter, a file, a request."""

    exit_code = 1
    prefix = "Customer Error"
    http_status = 400


class UnsoundModelError(CustomerError):
    """A model that gives no numbers: no fault of the request that asks it."""

    http_status = 500


class AlgorithmError(Object2VecError):
    """Something that only a change of this package can mend."""

    exit_code = 2
    prefix = "Algorithm Error"
    http_status = 500


class PlatformError(Object2VecError):
    """Something that the machine or the service must mend: disk, network, device."""

    exit_code = 3
    prefix = "Platform Error"
    http_status = 500


def failure_text(error: BaseException) -> str:
    """One line for the failure file: prefix, then the sentence.

    Parameters
    ----------
    error : BaseException
        Any exception; one that is not an `Object2VecError` counts as an algorithm error.

    Returns
    -------
    str
        For example ``"Customer Error: 'num_classes' should be within range (2, 30), …"``,
        without line breaks.
    """
    if isinstance(error, Object2VecError):
        prefix, text = error.prefix, str(error)
    else:
        prefix, text = AlgorithmError.prefix, _foreign_text(error)
    return bounded(f"{prefix}: {' '.join(text.split())}", LONGEST_SENTENCE)


def _foreign_text(error: BaseException) -> str:
    """`TypeName: message`, because a foreign message alone ("'boom'") often says nothing."""
    # MXNet appends its native stack trace to the message; the cause stands before it.
    message = str(error).split("Stack trace:", 1)[0].strip()
    name = type(error).__name__
    return f"{name}: {message}" if message else name
