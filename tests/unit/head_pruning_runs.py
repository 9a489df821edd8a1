"""A run on a tiny random start model, for methods that prune heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_encoders import encoder, examples, share_layers
from tiny_runs import tiny_run

from methods import checkpoint
from methods.run import Run


def head_pruning_run(folder: Path, kind: str = "bert", seed: int = 1, groups: list[int] | None = None) -> Run:
    """A fresh run whose start model lies in `folder`, the same for every seed; `groups` are shared layers."""
    model = encoder(kind)
    if groups:
        share_layers(model, groups)
    if not (folder / "model").exists():
        checkpoint.save(model, folder / "model")
    data = examples(model, 24)
    part = data.subset(np.arange(4))
    return tiny_run(data, part, part, folder, seed=seed)
