"""Pre-training on text without labels, as a part of the grid."""
