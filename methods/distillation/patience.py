"""Patient knowledge distillation: the student's [CLS] states follow the teacher's, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from methods.distillation.fields import PatienceReduction, Reduction
from methods.distillation.losses import kd_training_loss, loss_on_logits
from methods.distillation.maps import Strategy, patience_slots
from methods.distillation.observe import first_tokens
from methods.distillation.pairing import require_width
from methods.fit import Loss
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.run import Run


def patience(
    student: Tensor, teacher: Tensor, *, normalise: bool, reduction: PatienceReduction = "mean"
) -> Tensor:
    """Squared distance of [CLS] states (Sun et al., EMNLP 2019, equation 5).

    Args:
        student: shape (batch, slots, hidden).
        teacher: shape (batch, slots, hidden).
        normalise: scale every state to length 1 first, so that only directions count.
        reduction: `mean` over examples, slots and dimensions, as in the code, which is why beta is large;
            `sum` as the equation is written.
    """
    if normalise:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    return F.mse_loss(student, teacher, reduction=reduction)


def patient_kd_loss(
    run: Run,
    student: PreTrainedModel,
    *,
    temperature: float,
    alpha: float,
    beta: float,
    strategy: Strategy,
    normalise: bool,
    reduction: Reduction = "batchmean",
    patience_reduction: PatienceReduction = "mean",
) -> Loss:
    """Return (1 - alpha) cross-entropy + alpha soft targets + beta patience (Sun et al., EMNLP 2019).

    All layers that the student applies are patient but the last, which the logits teach. `beta` 0 is
    knowledge distillation alone. The teacher layers, from 1, are noted as `teacher_layers`.

    Args:
        run: its cached logits and [CLS] states of the teacher are read.
        student: the model that will be trained; its depth and width are asked for.
        temperature: T of the soft targets, above 0.
        alpha: weight of the soft targets, from 0 to 1; the labels have the rest.
        beta: weight of patience.
        strategy: which layers of the teacher the student follows, see `patience_slots`.
        normalise: whether states are scaled to length 1 first.
        reduction: of the soft targets, see `soft_targets`.
        patience_reduction: of the distances, see `patience`.

    Raises:
        BadInput: student and teacher differ in width, or their layers cannot be paired.
    """
    if beta == 0:
        return kd_training_loss(run, temperature=temperature, alpha=alpha, reduction=reduction)
    states = run.teacher_states()
    part = states.parts["cls"]
    require_width(student.config.hidden_size, part.width, loss="patience", weight="beta")
    depth = encoders.applications(student)
    slots = patience_slots(depth, len(part.layers), strategy)
    run.notes["teacher_layers"] = [slot + 1 for slot in slots]
    logits_loss = loss_on_logits(run, temperature=temperature, alpha=alpha, reduction=reduction)

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        output = model(**batch.inputs, output_hidden_states=True)
        own = first_tokens(output.hidden_states[1:depth]).float()
        teacher = states.read("cls", batch.positions)[:, slots]
        distance = patience(own, teacher, normalise=normalise, reduction=patience_reduction)
        return logits_loss(output.logits, batch) + beta * distance

    return loss
