"""The final scoring, in fp32: the one place where the validation split is read, once for every model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from methods import checkpoint
from methods.divergence import Diverged
from methods.inference import predict
from methods.pruning.masked_predictions import predict_without
from methods.run import Run
from methods.study import Variant
from reports import decisions, predictions
from reports.decisions import Decisions
from reports.metrics import collapse, score
from reports.predictions import Predictions
from reports.record import VariantScores
from tasks.examples import Examples
from tasks.prepare import Prepared


def score_model(model: PreTrainedModel, run: Run, prepared: Prepared, file: Path) -> dict[str, Any]:
    """Score a trial's model on validation and on `choice`, and the stages that led to it on validation.

    Args:
        model: on the run's device.
        run: has done its work; its stages are removed once scored, as only prerequisites keep weights.
        prepared: the splits.
        file: where the predictions on validation go.

    Returns:
        Fields of the record.

    Raises:
        Diverged: logits are not finite.
    """
    metrics, primary = run.task.metrics, run.task.primary
    choice = predict(model, prepared.choice)
    validation = predict(model, prepared.validation)
    require_finite(validation)
    labels = prepared.validation.labels
    table = Predictions(index=prepared.validation.rows, labels=labels, logits=validation)
    with file.open("wb") as opened:
        predictions.write(table, opened)
    stages = {}
    for name, folder in run.stages.items():
        logits = predict(checkpoint.load(folder).to(run.device), prepared.validation)
        stages[name] = score(labels, logits, metrics)
        shutil.rmtree(folder)
    return {
        "scores": score(labels, validation, metrics),
        "collapse": collapse(labels, validation, primary),
        "choice": score(prepared.choice.labels, choice, metrics),
        "choice_collapse": collapse(prepared.choice.labels, choice, primary),
        "stages": stages,
    }


def score_variants(
    variants: Sequence[Variant], run: Run, validation: Examples, file: Path
) -> list[VariantScores]:
    """Score frozen models on validation and write what they decide.

    Variants that are the same model, such as several curves' first points, are one evaluation. Saved models
    are removed once scored: only prerequisites keep weights.

    Args:
        variants: all models of the study.
        run: holds the start model, for variants that name no model of their own; it has done its work.
        validation: the official validation split.
        file: where the decisions go; not written when there is no variant.

    Raises:
        ValueError: two variants bear one name.
        Diverged: logits are not finite.
    """
    names = [variant.name for variant in variants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two variants are called {twice[0]!r}; every name is used once")
    if not variants:
        return []
    labels, logits = validation.labels, dict(_logits(variants, run, validation))
    found = {name: Decisions.of(Predictions(validation.rows, labels, logits[name])) for name in names}
    with file.open("wb") as opened:
        decisions.write(found, opened)
    return [
        VariantScores(
            name=variant.name,
            facts=dict(variant.facts),
            scores=score(labels, logits[variant.name], run.task.metrics),
        )
        for variant in variants
    ]


def _logits(
    variants: Sequence[Variant], run: Run, validation: Examples
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Evaluate model by model, so that each is read once and one at a time is in memory."""
    for folder in dict.fromkeys(variant.model for variant in variants):
        own = [variant for variant in variants if variant.model == folder]
        sets = list(dict.fromkeys(frozenset(variant.removed) for variant in own))
        model = run.start() if folder is None else checkpoint.load(folder).to(run.device)
        for heads, logits in zip(sets, predict_without(model, validation, sets), strict=True):
            require_finite(logits)
            for variant in own:
                if frozenset(variant.removed) == heads:
                    yield variant.name, logits
        if folder is not None:
            shutil.rmtree(folder)


def require_finite(logits: NDArray[np.float32]) -> None:
    """Refuse logits that are no numbers.

    Raises:
        Diverged: with advice.
    """
    if not np.isfinite(logits).all():
        raise Diverged("the model's validation logits are not finite; lower train.learning_rate")
