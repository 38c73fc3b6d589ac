# SPDX-License-Identifier: Apache-2.0
"""Measurements beside which the claims of the documentation can be checked."""
