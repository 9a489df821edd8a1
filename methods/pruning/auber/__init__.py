"""AUBER: attention heads pruned by reinforcement learning, layer by layer (Lee et al., arXiv 2009.14409)."""
