"""Text without labels, from documents on disk to batches for pre-training."""
