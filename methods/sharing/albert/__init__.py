"""ALBERT (Lan et al., ICLR 2020): factorised embeddings, shared layers, sentence order."""
