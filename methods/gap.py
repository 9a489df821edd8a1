"""How much better a model is on what it learnt from: what regularisation would narrow."""

from __future__ import annotations

from transformers import PreTrainedModel

from methods.run import Run


def train_choice_gap(run: Run, model: PreTrainedModel) -> dict[str, float]:
    """Score `model` on examples it learns from and on as many or more that it never does.

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
