# SPDX-License-Identifier: Apache-2.0
"""A training job, from its channels to its exit code."""
