# SPDX-License-Identifier: Apache-2.0
"""The Python API: `Object2Vec`, in `estimator.py`, and what it is made of."""
