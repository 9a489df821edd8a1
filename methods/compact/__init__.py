"""Architectures that are small by design, and the pre-training that makes them good."""
