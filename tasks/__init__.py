"""Tasks: what is learnt and scored. Declarations, loading, splits, tokens and batches."""
