# SPDX-License-Identifier: Apache-2.0
"""What a trained model is worth and what it has learnt, on one page to look at."""
