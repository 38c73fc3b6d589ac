# SPDX-License-Identifier: Apache-2.0
"""Pairs in flat arrays: read, laid out, put into batches; without MXNet."""
