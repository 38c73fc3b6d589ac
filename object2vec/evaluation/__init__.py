# SPDX-License-Identifier: Apache-2.0
"""Metrics of arrays, and what they are compared with."""
