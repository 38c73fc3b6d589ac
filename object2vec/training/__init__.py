# SPDX-License-Identifier: Apache-2.0
"""The loop, the updates, early stopping, log lines."""
