"""The sweep's declaration: from YAML and options to validated settings and configured methods."""
