"""A small generated sample of the five GLUE tasks, for demos and tests, never for claims."""
