"""The generalisation gap: the score on examples trained on, less that on held-out ones."""

from __future__ import annotations

from transformers import PreTrainedModel

from methods.run import Run


def train_choice_gap(run: Run, model: PreTrainedModel) -> dict[str, float]:
    """Score `model` on a sample of its training examples and on `choice`, which it never trains on.

    Args:
        run: of its train split as many examples are drawn as `choice` has, the same for every method.
        model: left in eval mode.

    Returns:
        The task's primary metric as a fraction on `train` and on `choice`, and `gap`, the first less the
        second.

    Raises:
        BadInput: there is no `choice` example.
    """
    choice = run.score(model, run.choice)[run.task.primary]
    seen = run.train.sample(len(run.choice), run.seeds.split)
    train = run.score(model, seen)[run.task.primary]
    return {"train": train, "choice": choice, "gap": train - choice}
