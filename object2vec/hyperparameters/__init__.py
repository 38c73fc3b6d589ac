# SPDX-License-Identifier: Apache-2.0
"""Hyperparameters: declared once, parsed, checked."""
