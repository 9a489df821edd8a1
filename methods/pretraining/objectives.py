"""What a pre-trained model knows of each sentence objective (Lan et al., ICLR 2020, section 4.6)."""

from __future__ import annotations

from typing import Any

from methods.pretraining.corpus import stream
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.report import held_out
from methods.pretraining.settings import TextTraining
from tasks.corpus.text import Text


def accuracies(
    model: PretrainingModel, text: Text, settings: TextTraining, *, bf16: bool = False
) -> dict[str, dict[str, Any]]:
    """Score a model on the documents kept from training, as each sentence objective cuts them.

    The same head answers both questions, as its labels mean alike: 0 for what follows, 1 for what does not.

    Args:
        model: with its heads; one trained without sentence pairs is scored on masked words alone.
        text: the corpus it was trained on.
        settings: those it was trained with.
        bf16: run matrix products in bfloat16.

    Returns:
        By `sop` and `nsp`, the figures of `held_out`: `pair_accuracy` where there is a head, `mlm_accuracy`.
    """
    found = {}
    for name, objective in (("sop", "mlm+sop"), ("nsp", "mlm+nsp")):
        asked = settings.model_copy(update={"objective": objective})
        found[name] = held_out(model, pretraining_loss, stream(text, asked, held_out=True), bf16=bf16)
    return found
