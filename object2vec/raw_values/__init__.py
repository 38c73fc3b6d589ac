# SPDX-License-Identifier: Apache-2.0
"""Names, texts, tags and numbers to token ids, as `inputs.json` says; no tables, no MXNet."""
