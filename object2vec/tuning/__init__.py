# SPDX-License-Identifier: Apache-2.0
"""Searches hyperparameters: a study of trainings, each judged by validation."""
