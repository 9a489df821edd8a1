"""A run on a tiny random start model, for methods that prune heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_encoders import encoder, examples

from methods import checkpoint
from methods.pretrained import Source
from methods.run import Run
from methods.settings import Training
from tasks.seeds import Seeds
from tasks.task import Task

TASK = Task(
    name="toy",
    path="toy",
    columns=("text",),
    labels=("no", "yes"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=0.5,
    margin=1.0,
)


def head_pruning_run(folder: Path, kind: str = "bert", seed: int = 1) -> Run:
    """A fresh run whose start model lies in `folder`, the same for every seed."""
    model = encoder(kind)
    if not (folder / "model").exists():
        checkpoint.save(model, folder / "model")
    data = examples(model, 24)
    return Run(
        task=TASK,
        train=data,
        reward=data.subset(np.arange(4)),
        choice=data.subset(np.arange(4)),
        training=Training(batch_size=8, precision="fp32", device="cpu", learning_rate=1e-3),
        seeds=Seeds.derive(seed),
        device=torch.device("cpu"),
        model=Source("tiny", None, "tiny"),
        results={"finetune": folder},
        folder=folder,
    )
