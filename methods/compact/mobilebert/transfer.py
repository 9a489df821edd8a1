"""Knowledge transfer from a teacher with inverted bottlenecks, phase by phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.compact.mobilebert import losses
from methods.compact.mobilebert.model import BottleneckBertForPreTraining, Feature
from methods.compact.mobilebert.pair import adopt, check_pair
from methods.compact.mobilebert.phases import Phase, phases
from methods.compact.mobilebert.recipe import Recipe
from methods.fit import decay_groups
from methods.flops import flops_by_length
from methods.pretraining.heads import label_loss
from methods.pretraining.loop import MetricSums, TextLoss, pretrain
from methods.run import SweepRun
from tasks.corpus.stream import Stream, TextBatch

if TYPE_CHECKING:
    from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer


class TeacherStudent(nn.Module):
    """A student and its teacher, neither with dropout, as in the published code."""

    def __init__(self, student: BottleneckBertForPreTraining, teacher: BottleneckBertForPreTraining) -> None:
        """Put both together.

        Raises:
            BadInput: they do not fit each other.
        """
        check_pair(student.config, teacher.config)
        super().__init__()
        self.student = student.eval()
        # In a tuple it is no part of this module: not trained, not saved with a checkpoint.
        self._teacher = (teacher.eval().requires_grad_(False),)

    @property
    def teacher(self) -> BottleneckBertForPreTraining:
        """Never changed, never given a gradient."""
        return self._teacher[0]

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode."""
        return super().train(False)


def transfer(
    run: SweepRun, pair: TeacherStudent, stream: Stream, recipe: MobileBertTransfer
) -> list[dict[str, Any]]:
    """Teach the student by a recipe, in place; a killed attempt resumes from its checkpoint.

    Args:
        run: where folders and reports are; costs are added to it.
        pair: both models on their device; the student first takes over embeddings and heads.
        stream: where the batches come from.
        recipe: what is transferred in which order, total steps, rate, optimiser.

    Returns:
        Of each phase its name, steps, cost in seconds and curve.
    """
    adopt(pair.student, pair.teacher)
    plan = phases(
        recipe.strategy,
        layers=pair.student.config.num_hidden_layers,
        steps=recipe.total_steps,
        share=recipe.transfer_share,
    )
    notes = []
    for number, phase in enumerate(plan, start=1):
        progress = pretrain(
            run,
            pair,
            phase_loss(number, phase, recipe),
            stream,
            recipe,
            flops=flops(pair, phase, recipe),
            name=f"{number}-{phase.name}",
            steps=phase.steps,
            groups=groups(pair.student, phase, recipe, recipe.weight_decay),
            schedule=phase.rate,
        )
        notes.append(
            {
                "phase": phase.name,
                "steps": progress.step,
                "seconds": round(progress.seconds, 3),
                "curve": progress.curve,
            }
        )
    pair.student.requires_grad_(True)
    return notes


def groups(
    student: BottleneckBertForPreTraining, phase: Phase, recipe: Recipe, weight_decay: float
) -> list[dict[str, Any]]:
    """Group what trains in a phase by its rate's `scale`; all else stops asking for gradients.

    They are for a new optimiser, in every phase: the published code sets the moments of what has rate 0 to
    0, and since every phase begins with rate 0 all moments begin anew there.
    """
    base = student.mobilebert
    outside = filter(None, (base.embeddings, base.pooler, student.cls))
    parts: list[tuple[float, nn.Module]] = [
        (phase.scale(number, recipe.lower), layer) for number, layer in enumerate(base.encoder.layer)
    ]
    parts.append((phase.scale(None, recipe.lower), nn.ModuleList(outside)))
    found: list[dict[str, Any]] = []
    for scale, part in parts:
        part.requires_grad_(scale > 0)
        if scale > 0:
            found += [{**group, "scale": scale} for group in decay_groups(part, weight_decay)]
    return found


def phase_loss(number: int, phase: Phase, recipe: Recipe) -> TextLoss:
    """Return the loss of a phase, the sum of its terms; metrics are the terms, accuracies and the phase.

    Terms of several layers are summed; the published code, and so `decomposed`, divides the sum over layers
    by the number of layers of the model. Layers above the phase's are not run. A student's layer reads what
    its own lower layers wrote, never what the teacher's did.
    """

    def loss(pair: TeacherStudent, batch: TextBatch) -> tuple[Tensor, MetricSums]:
        depth = _depth(pair, phase)
        theirs = _teachers(pair, batch, depth) if _needs_teacher(phase, recipe) else []
        ours = pair.student.mobilebert.features(**batch.inputs, layers=depth)
        one = torch.ones((), device=batch.masked.device)
        metrics: MetricSums = {"phase": (number * one, one)}
        terms = _layer_terms([(ours[layer], theirs[layer]) for layer in phase.layers], batch, recipe)
        if recipe.feature_maps == "decomposed":
            terms = {
                name: value / len(pair.student.mobilebert.encoder.layer) for name, value in terms.items()
            }
        metrics |= {name: (value, one) for name, value in terms.items()}
        total = torch.stack([torch.zeros_like(one), *terms.values()]).sum()
        if phase.distils:
            total = total + _distilled(pair, batch, ours[-1][0], theirs, recipe.alpha, metrics)
        metrics["loss"] = (total, one)
        return total, metrics

    return loss


def _layer_terms(pairs: list[tuple[Feature, Feature]], batch: TextBatch, recipe: Recipe) -> dict[str, Tensor]:
    """Feature-map and attention transfer, summed over layers; none where there are no layers."""
    mask = None if recipe.count_padding else batch.inputs.get("attention_mask")
    maps: Callable[..., Tensor] = losses.feature_maps
    if recipe.feature_maps == "decomposed":
        maps = losses.decomposed
    terms = {}
    if pairs and recipe.feature_maps != "none":
        terms["feature_maps"] = torch.stack([maps(a[0], b[0], mask) for a, b in pairs]).sum()
    if pairs and recipe.attention:
        terms["attention"] = torch.stack([losses.attention(a[1], b[1], mask) for a, b in pairs]).sum()
    return terms


def _distilled(
    pair: TeacherStudent,
    batch: TextBatch,
    hidden: Tensor,
    theirs: list[Feature],
    alpha: float,
    metrics: MetricSums,
) -> Tensor:
    """Pre-training distillation: alpha MLM + (1 - alpha) MLM distillation + sentence pairs."""
    student = pair.student
    logits = student.words(_at(hidden, batch.masked))
    words = label_loss("mlm", logits, batch.targets, metrics)
    pairs = label_loss("pair", student.sentences(hidden), batch.pairs, metrics)
    if alpha == 1:
        return words + pairs
    with torch.no_grad():
        targets = pair.teacher.words(_at(theirs[-1][0], batch.masked)).float().softmax(dim=-1)
    # Not the mean: without masked tokens it is 0 / 0, and one such batch would spoil every weight.
    soft = F.cross_entropy(logits.float(), targets, reduction="sum") / max(len(targets), 1)
    metrics["mlm_distillation"] = (soft, torch.full_like(soft, min(len(targets), 1)))
    return alpha * words + (1 - alpha) * soft + pairs


def _needs_teacher(phase: Phase, recipe: Recipe) -> bool:
    return bool(phase.layers) or recipe.alpha < 1


def _depth(pair: TeacherStudent, phase: Phase) -> int:
    """How many layers are run."""
    return len(pair.student.mobilebert.encoder.layer) if phase.distils else max(phase.layers) + 1


@torch.no_grad()
def _teachers(pair: TeacherStudent, batch: TextBatch, depth: int) -> list[Feature]:
    return pair.teacher.mobilebert.features(**batch.inputs, layers=depth)


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    """The rows of (batch, tokens, hidden) at places of the flattened batch, (m, hidden)."""
    return hidden.flatten(0, 1)[places]


def flops(pair: TeacherStudent, phase: Phase, recipe: Recipe) -> Callable[[TextBatch], float]:
    """Return a function from a batch to a third of a step's operations, as `pretrain` wants it.

    Counted are the student's layers that are run, twice as much again for those whose gradients are taken,
    the teacher's forward pass, and the heads at the masked places.
    """
    student, depth = pair.student, _depth(pair, phase)
    trained = sum(phase.scale(layer, recipe.lower) > 0 for layer in range(depth))
    passes = [(student, (depth + 2 * trained) / 3)]
    if _needs_teacher(phase, recipe):
        passes.append((pair.teacher, depth / 3))
    polynomials = [(flops_by_length(model.mobilebert), layers) for model, layers in passes]
    layers = student.config.num_hidden_layers
    heads = (1 + (recipe.alpha < 1) / 3) * student.word_flops if phase.distils else 0.0

    def per_batch(batch: TextBatch) -> float:
        examples, length = batch.inputs["input_ids"].shape
        encoders = sum(polynomial(length) * run / layers for polynomial, run in polynomials)
        return examples * encoders + len(batch.masked) * heads

    return per_batch
