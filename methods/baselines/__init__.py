"""What every method is judged by: the uncompressed model and the controls."""
