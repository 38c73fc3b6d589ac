# SPDX-License-Identifier: Apache-2.0
"""A loaded model answers."""
