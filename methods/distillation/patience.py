"""Patient knowledge distillation: the student's [CLS] states follow the teacher's, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from methods import encoders
from methods.distillation.losses import kd_training_loss, loss_on_logits
from methods.distillation.maps import Strategy, patience_slots
from methods.distillation.observe import first_tokens
from methods.distillation.pairing import require_width
from methods.fit import Loss
from tasks.batches import Batch

if TYPE_CHECKING:
    from methods.run import Run


def patience(student: Tensor, teacher: Tensor, *, normalise: bool) -> Tensor:
    """Mean squared distance of [CLS] states (Sun et al., EMNLP 2019, equation 5, as its code reduces it).

    The paper writes a sum over layers and dimensions; the code takes the mean, which is why beta is large.

    Args:
        student: shape (batch, slots, hidden).
        teacher: shape (batch, slots, hidden).
        normalise: scale every state to length 1 first, so that only directions count.
    """
    if normalise:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    return F.mse_loss(student, teacher)


def patient_kd_loss(
    run: Run,
    student: PreTrainedModel,
    *,
    temperature: float,
    alpha: float,
    beta: float,
    strategy: Strategy,
    normalise: bool,
) -> Loss:
    """Return the loss of knowledge distillation plus beta times patience; `beta` 0 is distillation alone.

    All layers that the student applies are patient but the last, which the logits teach.

    Raises:
        BadInput: student and teacher differ in width, or their layers cannot be paired.
    """
    if beta == 0:
        return kd_training_loss(run, temperature=temperature, alpha=alpha)
    states = run.teacher_states()
    part = states.parts["cls"]
    require_width(student.config.hidden_size, part.width, loss="patience", weight="beta")
    depth = encoders.applications(student)
    slots = patience_slots(depth, len(part.layers), strategy)
    run.notes["teacher_layers"] = [slot + 1 for slot in slots]
    logits_loss = loss_on_logits(run, temperature=temperature, alpha=alpha)

    def loss(model: PreTrainedModel, batch: Batch) -> Tensor:
        output = model(**batch.inputs, output_hidden_states=True)
        own = first_tokens(output.hidden_states[1:depth]).float()
        teacher = states.read("cls", batch.positions)[:, slots]
        return logits_loss(output.logits, batch) + beta * patience(own, teacher, normalise=normalise)

    return loss
