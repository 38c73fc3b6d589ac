# SPDX-License-Identifier: Apache-2.0
"""Tasks on real data, who contends in them, and how answers are graded."""
