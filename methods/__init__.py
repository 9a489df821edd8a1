"""Compression methods: one file, one class each, grouped by family."""
