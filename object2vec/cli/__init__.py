# SPDX-License-Identifier: Apache-2.0
"""The command `object2vec`: one file a command, put together in `command_line`."""

from object2vec.cli.command_line import main

__all__ = ["main"]
