"""What a method may use. There is no door to the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods import checkpoint, pretrained
from methods.distillation.states import States
from methods.fit import Fitted, Loss, Report, Schedule, StepCallback, cross_entropy, fit, linear
from methods.inference import predict
from methods.settings import Training
from reports.metrics import score
from reports.record import Cost
from tasks.corpus.access import CorpusAccess
from tasks.errors import BadInput
from tasks.examples import Examples
from tasks.seeds import Seeds
from tasks.task import Task


@dataclass(kw_only=True)
class SweepRun:
    """What a work may use that belongs to no task: the sweep's encoder, its corpus, settings, folders."""

    training: Training
    """The sweep's settings; `precision` and `device` are resolved."""
    seeds: Seeds
    device: torch.device
    model: pretrained.Source
    """The pretrained encoder of the sweep, or the one that the work named by `encoder`."""
    results: Mapping[str, Path]
    """Folder of each prerequisite's result, by the prerequisite's name."""
    folder: Path
    """A folder for files of this trial; what lies in it is kept with the record."""
    models: Mapping[str, pretrained.Source] = field(default_factory=dict)
    """The further pretrained models that the method names, by the name it gave."""
    corpus: CorpusAccess | None = None
    """The sweep's text without labels, for pre-training."""
    notes_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Notes of the methods that this one `reads`, by the key it gave; never their scores."""
    resume: Path | None = None
    """A folder that outlives a killed attempt, for what the next one goes on from; None keeps nothing.

    Files are replaced whole (`os.replace`), since a kill may come at any instant. It is removed once the
    record is written.
    """
    report: Report = lambda step, metrics: None
    """Send live metrics of a step to the progress line and MLflow."""
    cost: Cost = field(default_factory=Cost)
    """Training cost so far."""
    notes: dict[str, Any] = field(default_factory=dict)
    """JSON-able facts that go into the record."""

    @property
    def bf16(self) -> bool:
        """Whether matrix products run in bfloat16 while training."""
        return self.training.precision == "bf16"


@dataclass(kw_only=True)
class Run(SweepRun):
    """One trial as its method sees it."""

    task: Task
    train: Examples
    """The train split (train′ of the protocol); weights are learnt here only."""
    reward: Examples
    """Half of the selection split: rewards and orders are decided here."""
    choice: Examples
    """The other half: epochs and rates are decided here."""
    redraws: int = 0
    """How often a start model that collapsed is trained anew with other seeds."""
    fits: int = 0
    """Trainings so far; each has an order and dropout masks of its own."""
    fitted_in: str = ""
    """Precision of the last training, which a method may choose itself; empty before any."""
    stages: dict[str, Path] = field(default_factory=dict)
    """Saved models that the engine scores on validation afterwards."""

    def pretrained(self, name: str | None = None) -> PreTrainedModel:
        """Load the sweep's pretrained encoder, or another of `models`, with a new classifier.

        The classifier is drawn from the `init` seed.

        Args:
            name: one of `models`; None is the sweep's encoder.

        Returns:
            The classifier in fp32 and eval mode, on `device`.

        Raises:
            BadInput: the checkpoint lacks weights of the encoder, or has others than its configuration.
        """
        source = self.model if name is None else self.models[name]
        return pretrained.classifier(source, self.task, seed=self.seeds.init).to(self.device)

    def start(self) -> PreTrainedModel:
        """Load this task's and seed's fine-tuned start model, the teacher of all; needs `finetune`."""
        return checkpoint.load(self.results["finetune"] / "model").to(self.device)

    def teacher_states(self) -> States:
        """The teacher's states on the train split; needs `teacher-states`, which says what is in them."""
        return States(self.results["teacher-states"], self.device)

    def teacher_logits(self) -> NDArray[np.float32]:
        """Teacher logits of the train split, shape (len(train), classes); needs `teacher-outputs`."""
        return np.load(self.results["teacher-outputs"] / "train_logits.npy", mmap_mode="r")

    def fit(
        self,
        model: PreTrainedModel,
        loss: Loss = cross_entropy,
        *,
        steps: int | None = None,
        training: Training | None = None,
        examples: Examples | None = None,
        schedule: Schedule = linear,
        after: StepCallback | None = None,
        draw: int | None = None,
    ) -> Fitted:
        """Train `model` in place on the train split with the one training loop; its cost is added up.

        The model is on its device and ends in eval mode.

        Args:
            model: the model to train.
            loss: maps (model, batch) to a scalar; cross-entropy on the labels by default.
            steps: optimiser steps; by default as many as `training.epochs` passes take.
            training: settings, by default the sweep's.
            examples: what is learnt from, by default the train split; a part of it, or what is made from it.
            schedule: the learning rate's course.
            after: called after each step with the number of steps done and the model.
            draw: which order of examples and which dropout masks; by default as many as trainings before.
                Trainings that are compared between methods take draw 0 whatever comes before them.

        Returns:
            The cost of this training and its losses by epoch.

        Raises:
            Diverged: the loss or the gradient's norm is not finite.
        """
        before, training = self.cost.steps, training or self.training
        fitted = fit(
            model,
            self.train if examples is None else examples,
            training,
            loss=loss,
            steps=steps,
            schedule=schedule,
            seeds=self.seeds.redrawn(self.fits if draw is None else draw),
            report=lambda step, metrics: self.report(before + step, metrics),
            after=after,
        )
        self.fits += 1
        self.fitted_in = training.precision
        self.cost += fitted.cost
        return fitted

    def predict(self, model: PreTrainedModel, examples: Examples) -> NDArray[np.float32]:
        """Logits of shape (n, classes) in the order of `examples`; eval mode, training precision."""
        return predict(model, examples, bf16=self.bf16)

    def score(self, model: PreTrainedModel, examples: Examples) -> dict[str, float]:
        """The task's metrics of `model` on `examples`, as fractions.

        Raises:
            BadInput: there are no examples, whose score would decide something all the same.
        """
        if len(examples) == 0:
            raise BadInput("no examples to score on: raise `selection`, or `limit` where it is set")
        return score(examples.labels, self.predict(model, examples), self.task.metrics)

    def stage(self, name: str, model: PreTrainedModel) -> None:
        """Hand back a copy of `model` to be scored on validation after the trial; feeds no choice."""
        self.stages[name] = checkpoint.save(model, self.folder / "stages" / name)
