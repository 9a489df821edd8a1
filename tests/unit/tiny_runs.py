"""A run of a task of two classes, on whatever examples and start model a test has made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from methods.pretrained import Source
from methods.run import Run
from methods.settings import Training
from tasks.examples import Examples
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


def tiny_run(
    train: Examples, reward: Examples, choice: Examples, folder: Path, *, seed: int, **facts: Any
) -> Run:
    """A run in fp32 on the CPU; `facts` are further fields of it."""
    training = Training(batch_size=8, precision="fp32", device="cpu", learning_rate=1e-3)
    fields: dict[str, Any] = {
        "training": training,
        "model": Source("tiny", None, "tiny"),
        "results": {"finetune": folder},
        "folder": folder,
        **facts,
    }
    return Run(
        task=TASK,
        train=train,
        reward=reward,
        choice=choice,
        seeds=Seeds.derive(seed),
        device=torch.device("cpu"),
        **fields,
    )
