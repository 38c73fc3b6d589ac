# SPDX-License-Identifier: Apache-2.0
"""Raw tables and texts to ids: vocabularies, splits, and `inputs.json`, which keeps them."""
