# SPDX-License-Identifier: Apache-2.0
"""MXNet in this process: its import, devices, KVStore, threads."""
