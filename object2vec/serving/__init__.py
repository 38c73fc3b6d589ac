# SPDX-License-Identifier: Apache-2.0
"""Serving: what stands between a request's bytes and a loaded model."""
