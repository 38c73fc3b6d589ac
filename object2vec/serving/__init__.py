"""Serving: what stands between a request's bytes and a loaded model."""
