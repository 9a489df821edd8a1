"""Settings all nodes share, and the part of them that enters each fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.plan.fingerprint import PROTOCOL
from methods.method import Work
from methods.settings import Training
from tasks.task import Task


@dataclass(frozen=True)
class Context:
    """What all nodes of a sweep share; identities say which data and weights, not where they lie."""

    model: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    """By task name."""
    training: Training
    """With `precision` and `device` resolved."""
    training_by_method: Mapping[str, Training]
    """Training settings of the methods whose resources give them another device, by name."""
    limit: int | Mapping[str, int] | None
    """For all tasks, or by task's name."""
    selection: float | int
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Identities of the further pretrained models that methods name, by that name."""
    redraws: int = 0
    """How often a collapsed start model is drawn again before it is used."""
    corpus: Mapping[str, Any] | None = None
    """Identity of the text for pre-training."""

    def training_of(self, work: Work) -> Training:
        """The training settings of one work."""
        return self.training_by_method.get(work.name, self.training)

    def limit_of(self, task: str) -> int | None:
        """Training examples of one task; None for all."""
        return self.limit.get(task) if isinstance(self.limit, Mapping) else self.limit

    def decides(
        self, task: Task | None, work: Work, seed: int, needs: tuple[tuple[str, str], ...]
    ) -> dict[str, Any]:
        """Return everything that decides a node's result: the content of its fingerprint.

        Args:
            task: None for what belongs to the whole sweep.
            work: with its fields.
            seed: 0 for what belongs to the whole sweep.
            needs: (name, fingerprint) of what it starts from or reads.
        """
        training = self.training_of(work).model_dump(mode="json")
        content: dict[str, Any] = {
            "protocol": PROTOCOL,
            "method": work.name,
            "version": work.revision(),
            "params": self._params(work if task is None else work.for_task(task.name)),
            "model": dict(self.model),
            "needs": dict(needs),
        }
        if task is None:
            # Neither a task's data nor how tasks are trained decides what belongs to the whole sweep.
            device = {key: training[key] for key in ("device", "precision")}
            return {**content, "train": device, "corpus": self.corpus and dict(self.corpus)}
        content |= {
            "task": _task_content(task),
            "data": dict(self.data[task.name]),
            "train": training,
            "limit": self.limit_of(task.name),
            "selection": self.selection,
            "seed": seed,
        }
        if work.uses_corpus():
            content["corpus"] = self.corpus and dict(self.corpus)
        # The baseline with default fields is the start model, and redrawn with it.
        if self.redraws and work.label == "finetune":
            content["redraws"] = self.redraws
        return content

    def _params(self, work: Work) -> dict[str, Any]:
        """The work's fields; where one names a pretrained model, what it stands for and not where it lies."""
        identities = {name: dict(self.models[name]) for name in work.models()}
        return {
            key: identities.get(value, value) if isinstance(value, str) else value
            for key, value in work.deciding().items()
        }


def _task_content(task: Task) -> dict[str, Any]:
    """The part of a task's declaration that decides results; margins and citations do not."""
    content = task.model_dump(
        mode="json", include={"name", "config", "columns", "label", "labels", "metrics", "primary"}
    )
    if task.validation != ("validation",):
        content["validation"] = list(task.validation)
    return content
