# SPDX-License-Identifier: Apache-2.0
"""Token vectors and vocabularies from files."""
