"""Recovery on text without labels: what ALBERT learns from, continued from weights that are there."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from methods.pretraining.corpus import stream, texts
from methods.pretraining.heads import PretrainingModel, pretraining_loss
from methods.pretraining.loop import pretrain
from methods.pretraining.report import held_out, summary
from methods.pretraining.settings import TextTraining
from methods.run import Run
from methods.sharing.groups import require_pooler


def recover_on_text(run: Run, model: PreTrainedModel, tokens: int, *, batch_size: int) -> None:
    """Train the encoder of a classifier on masked words and sentence order of the sweep's corpus, in place.

    Both heads are new and thrown away, the classifier is left alone. Sequences are as long as the task's may
    be; AdamW in small batches. A killed trial goes on where it was. Left in the notes: `recovery`, with
    steps, tokens, curve and the accuracies on documents kept from training.

    Args:
        run: the trial; its seed decides heads, order, segments, masks and dropout.
        model: on the run's device, in eval mode afterwards.
        tokens: how much is read, counted in full sequences; enough for two steps.
        batch_size: sequences of a step; even, since each is computed in two parts.

    Raises:
        BadInput: there is no corpus, it cannot be used, or the encoder has no pooler to learn order with.
        Diverged: the loss or the gradient's norm is not finite.
    """
    require_pooler(model.config.model_type, getattr(model.base_model, "pooler", None) is not None)
    text = texts(run, None)
    settings = TextTraining(
        tokens=tokens,
        length=run.training.max_length,
        # A million tokens are few: with LAMB at 2e-3 in batches of 128 they ended at a loss of 8.99 on words
        # whose frequencies alone have an entropy of 7.27, i.e. nothing was learnt.
        optimizer="adamw",
        learning_rate=1e-3,
        batch_size=batch_size,
        # Parts of at most 2,048 tokens at length 128: memory stays that of fine-tuning.
        accumulation=2,
        seed=run.seeds.init,
    )
    torch.manual_seed(settings.seed)
    learner = PretrainingModel(model.base_model, pairs=True).to(run.device)
    batches = stream(text, settings)
    progress = pretrain(run, learner, pretraining_loss, batches, settings, flops=learner.flops)
    kept = stream(text, settings, held_out=True)
    found = held_out(learner, pretraining_loss, kept, bf16=run.bf16)
    run.notes["recovery"] = summary(progress, text, found)
