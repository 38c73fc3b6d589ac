# SPDX-License-Identifier: Apache-2.0
"""What stands before the model server's Python workers: Java source, its jar and its builder."""
