"""A masked-word head for an encoder that comes without one, fitted before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.attention import fastest_attention
from methods.flops import cost_of_inference
from methods.pretraining.cross_entropy import cross_entropy
from methods.pretraining.heads import PretrainingModel
from reports.record import Cost
from tasks.corpus.stream import TextBatch

_PLACES_PER_WIDTH = 20
"""Masked places to look at for each element of a hidden state."""
_FITTED = 0.8
"""Share of them that the regression sees; the others decide the scale and say what it is worth."""
_RIDGE = 1e-2
"""Of the mean variance of a hidden state's elements."""
_LINEAR = 3.0
"""Added to what enters GELU, in standard deviations: there it is a line, and the norm takes it off again."""
_SCALES = tuple(2.0**power for power in range(-4, 4))
"""Weights of the norm, that is inverse temperatures, of which the best is taken."""


class Fit(NamedTuple):
    """What a fitted head begins with."""

    loss: float
    """Mean masked-word loss in nats at the places the regression did not see."""
    cost: Cost
    """The forward passes."""


@torch.no_grad()
def fit_head(model: PretrainingModel, batches: Iterable[TextBatch], counts: Tensor) -> Fit:
    """Initialise the masked-word head from word frequencies and a ridge regression, in place.

    The bias becomes the log frequencies. `dense` becomes the ridge regression from hidden states of masked
    places to the rows of the true words in the table, the encoder as it is; the norm's weight is the scale
    that suits these logits best. A head of random weights first makes the encoder unlearn what it knows.

    Args:
        model: encoder and heads, left in eval mode.
        batches: from the text to train on; as many are taken as the regression needs, and no more than are
            needed for as many places at one a sequence.
        counts: how often each word stands in that text, shape (words,), of any numeric type; the last rows of
            the table may be left out.
    """
    hidden, targets, cost = _masked_places(model.eval(), batches)
    # One more of each, as no text has all words; the table may have rows beyond them.
    smoothed = F.pad(counts.double(), (0, len(model.bias) - len(counts))) + 1
    model.bias.copy_((smoothed / smoothed.sum()).log())
    seen = int(_FITTED * len(targets))
    table = model.encoder.get_input_embeddings().weight
    _regress(model.dense, hidden[:seen], table[targets[:seen]].cpu().double())
    losses = dict.fromkeys(_SCALES, 0.0)
    unseen = (hidden[seen:].to(table), targets[seen:].to(table.device))
    # In parts, as logits of all places would take a gigabyte.
    for states, right in zip(*(tensor.split(512) for tensor in unseen), strict=True):
        logits = model.compared(states) @ table.T
        for scale in _SCALES:
            losses[scale] += float(cross_entropy(scale * logits + model.bias, right)[0])
    best = min(losses, key=losses.__getitem__)
    model.norm.weight.fill_(best)
    return Fit(losses[best] / max(len(targets) - seen, 1), cost)


def _regress(dense: nn.Linear, hidden: Tensor, rows: Tensor) -> None:
    """Have the layer's output, through GELU and the norm, point along the rows."""
    mean = hidden.mean(0)
    centred = hidden - mean
    ridge = _RIDGE * centred.square().sum(0).mean() * torch.eye(len(mean), dtype=hidden.dtype)
    weight = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (rows - rows.mean(0))).T
    # The widest column decides, so that all of them enter GELU where it is a line.
    spread = (centred @ weight.T).std(0).max()
    # Where all words are one, as with a vocabulary that knows none of them, there is nothing to point along.
    if spread > 0:
        dense.weight.copy_(weight / spread)
        dense.bias.copy_(_LINEAR - weight @ mean / spread)


def _masked_places(model: PretrainingModel, batches: Iterable[TextBatch]) -> tuple[Tensor, Tensor, Cost]:
    """Hidden states in double precision, shape (n, H), and true words of masked places, on the CPU."""
    enough = _PLACES_PER_WIDTH * model.dense.in_features
    states: list[Tensor] = []
    targets: list[Tensor] = []
    sequences, cost = 0, Cost()
    with fastest_attention(model.encoder):
        for batch in batches:
            here = batch.to(model.bias.device)
            output = model.encoder(**here.inputs).last_hidden_state.flatten(0, 1)
            states.append(output[here.masked].cpu().double())
            targets.append(batch.targets)
            sequences += len(batch.pairs)
            cost += cost_of_inference(model.flops(batch))
            if sum(map(len, targets)) >= enough or sequences >= enough:
                break
    return torch.cat(states), torch.cat(targets), cost
