# SPDX-License-Identifier: Apache-2.0
"""What CPUs run in C."""
