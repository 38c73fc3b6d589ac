# SPDX-License-Identifier: Apache-2.0
"""The nearest objects: found exactly, or by cells of an index."""
