"""Measurements beside which the claims of the documentation can be checked."""
