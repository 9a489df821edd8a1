"""A masked-word head for an encoder that comes without one, fitted before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.attention import fastest_attention
from methods.pretraining.heads import PretrainingModel
from tasks.corpus.stream import TextBatch

_PLACES_PER_WIDTH = 16
"""Masked places that are looked at for each element of a hidden state."""
_RIDGE = 1e-2
"""Of the mean variance of a hidden state's elements."""
_LINEAR = 3.0
"""Added to what enters GELU, in standard deviations: there it is a line, and the norm takes it off again."""
_SCALES = tuple(2.0**power for power in range(-4, 4))
"""Weights of the norm, that is inverse temperatures, of which the best is taken."""


@torch.no_grad()
def fit_head(model: PretrainingModel, batches: Iterable[TextBatch], frequencies: Tensor) -> float:
    """Begin the masked-word head where words' frequencies and least squares bring it, in place.

    The bias becomes the log frequencies. `dense` becomes the ridge regression from hidden states of masked
    places to the rows of the true words in the table, the encoder as it is. From random weights a head
    first forgets what the encoder knows: with 30,522 words it stays on the words' frequencies for the first
    million tokens. The GELU is entered where it is a line.

    Args:
        model: encoder and heads, in any mode, which is kept.
        batches: from the text to train on; as many are taken as the regression needs.
        frequencies: of the words of the vocabulary, adding up to 1, none 0; shape (vocabulary,).

    Returns:
        The mean loss at the masked places that were looked at.
    """
    hidden, targets = _masked_places(model, batches)
    table = model.encoder.get_input_embeddings().weight.detach().double().cpu()
    bias = frequencies.double().log()
    mean, wanted = hidden.mean(0), table[targets]
    centred = hidden - mean
    ridge = _RIDGE * centred.square().sum(0).mean() * torch.eye(len(mean), dtype=torch.float64)
    weight = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (wanted - wanted.mean(0))).T
    weight /= (centred @ weight.T).std()
    words = F.layer_norm(F.gelu(centred @ weight.T + _LINEAR), weight.shape[:1])

    def loss(scale: float) -> float:
        # In parts, as logits of all places would take a gigabyte.
        parts = zip(words.float().split(1024), targets.split(1024), strict=True)
        logits = ((scale * part @ table.float().T + bias.float(), right) for part, right in parts)
        return float(sum(F.cross_entropy(*pair, reduction="sum") for pair in logits)) / len(targets)

    losses = {scale: loss(scale) for scale in _SCALES}
    best = min(losses, key=losses.__getitem__)
    model.bias.copy_(bias)
    model.dense.weight.copy_(weight)
    model.dense.bias.copy_(_LINEAR - weight @ mean)
    model.norm.weight.fill_(best)
    return losses[best]


def _masked_places(model: PretrainingModel, batches: Iterable[TextBatch]) -> tuple[Tensor, Tensor]:
    """Hidden states in double precision, shape (n, H), and true words of masked places, on the CPU."""
    enough = _PLACES_PER_WIDTH * model.dense.in_features
    hidden: list[Tensor] = []
    targets: list[Tensor] = []
    training = model.training
    model.eval()
    with fastest_attention(model.encoder):
        for batch in batches:
            here = batch.to(model.bias.device)
            states = model.encoder(**here.inputs).last_hidden_state.flatten(0, 1)[here.masked]
            hidden.append(states.double().cpu())
            targets.append(batch.targets)
            if sum(map(len, targets)) >= enough:
                break
    model.train(training)
    return torch.cat(hidden), torch.cat(targets)
