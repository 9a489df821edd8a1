"""TinyBERT's losses on what is inside a Transformer: attention scores, hidden states and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn
from transformers import PreTrainedModel

from methods import encoders
from methods.distillation.losses import mean_over_tokens
from methods.distillation.maps import require_one_each
from methods.distillation.observe import observe
from methods.distillation.pairing import require_heads
from methods.distillation.parts import Kind, Part
from methods.fit import Loss
from methods.flops import TRAINING_PASSES
from methods.random_state import seeded
from reports.record import Cost
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.run import Run

Teach = Callable[[Batch], Mapping[Kind, Tensor]]
"""Maps a batch to the teacher's `hidden` states (embeddings and mapped layers) and `attentions`."""


def hidden_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared distance over real tokens, summed over layers (Jiao et al., arXiv 1909.10351, eq. 8, 9).

    Args:
        student: embeddings and layers, projected, shape (batch, layers, tokens, hidden).
        teacher: of the same shape.
        mask: 1 for real tokens, shape (batch, tokens).
    """
    distances = (student - teacher).square().transpose(1, 2)
    return mean_over_tokens(distances, mask) * student.shape[1]


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared distance of raw scores between real tokens, summed over layers (eq. 7).

    The official code zeroes scores of padded keys only and averages over padding too, so that its loss
    depends on how a batch is padded; here padding counts nowhere.

    Args:
        student: raw scores, shape (batch, layers, heads, tokens, tokens).
        teacher: of the same shape.
        mask: 1 for real tokens, shape (batch, tokens).
    """
    pairs = (mask[:, :, None] * mask[:, None, :])[:, None, None].to(student.dtype)
    distances = ((student - teacher) * pairs).square().sum()
    return distances / (pairs.sum() * student.shape[2])


@contextmanager
def transformer_distillation(
    run: Run, student: PreTrainedModel, teach: Teach, teacher: Mapping[Kind, Part]
) -> Iterator[Loss]:
    """Give `student` a projection to the teacher's width inside the `with` block, and the loss.

    One learned linear, shared by embeddings and all layers, as in the official code; it is there also where
    the widths are equal. Its work is added to the run's cost.

    Args:
        run: its `init` seed draws the projection.
        student: the student, of M layers.
        teach: the teacher's states by batch.
        teacher: what `teach` returns: M + 1 hidden states and M layers of scores.

    Raises:
        BadInput: layers or heads do not match.
    """
    depth, config = len(encoders.stack(student)), student.config
    layers, heads = len(teacher["attentions"].layers), teacher["attentions"].width
    require_one_each(depth, layers)
    require_heads(config.num_attention_heads, heads)
    own = [
        Part("hidden", tuple(range(depth + 1)), config.hidden_size),
        Part("attentions", tuple(range(1, depth + 1)), heads),
    ]
    with seeded(run.seeds.init):
        projection = nn.Linear(config.hidden_size, teacher["hidden"].width)
    student.projection = projection.to(student.device)

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        seen, taught = observe(model, batch, own), teach(batch)
        mask = batch.inputs["attention_mask"]
        hidden = model.projection(seen["hidden"]).float()
        run.cost += Cost(flops=TRAINING_PASSES * 2 * seen["hidden"].numel() * hidden.shape[-1])
        return hidden_loss(hidden, taught["hidden"].float(), mask) + attention_loss(
            seen["attentions"], taught["attentions"].float(), mask
        )

    try:
        yield loss
    finally:
        del student.projection
