# SPDX-License-Identifier: Apache-2.0
"""Tables of raw values to pairs of ids: vocabularies, bins, labels and splits are found in them."""
