"""Latency: measured after all trials, with nothing else running."""
