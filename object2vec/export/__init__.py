# SPDX-License-Identifier: Apache-2.0
"""Embeddings and networks for other tools: files of vectors, graphs of ONNX."""
