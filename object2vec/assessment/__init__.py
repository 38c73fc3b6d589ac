# SPDX-License-Identifier: Apache-2.0
"""What a model is worth on data, beside what it is to beat."""
