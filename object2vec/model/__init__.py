# SPDX-License-Identifier: Apache-2.0
"""Encoders, scorer, losses, the network and the model directory."""
