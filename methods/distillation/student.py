"""Students: layers of a larger encoder, or a released checkpoint with the same vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from methods import encoders
from methods.distillation.fields import StudentFields, Take
from methods.distillation.maps import positions
from methods.distillation.pairing import require_same_vocabulary
from tasks.errors import BadInput

if TYPE_CHECKING:
    from methods.run import Run


def student_of(run: Run, fields: StudentFields) -> PreTrainedModel:
    """Return the untrained student that `fields` describe; its classifier is new unless `init: finetuned`.

    Raises:
        BadInput: the encoder has no such layers, or the checkpoint another vocabulary.
    """
    if fields.student is not None:
        require_same_vocabulary(run.model, run.models[fields.student])
        return run.pretrained(fields.student)
    model = run.start() if fields.finetuned else run.pretrained()
    return keep_layers(model, fields.layers, fields.take)


def keep_layers(model: PreTrainedModel, layers: int | None, take: Take = "first") -> PreTrainedModel:
    """Keep embeddings, some layers, pooler and classifier, in place; return the model.

    Args:
        model: an encoder of a known architecture.
        layers: layers to keep; None keeps half.
        take: the `first` ones, evenly spread ones (`skip`), or a list counted from 1, which decides alone.

    Raises:
        BadInput: the encoder does not have them, one is named twice, or some of them are shared in groups.
    """
    stack = encoders.stack(model)
    if any(1 < count < len(stack) for count in _distinct(model)):
        raise BadInput(
            f"layers: none can be taken out of this {type(model).__name__}, which shares some of them in "
            "groups; name a `student`, or choose an encoder that shares all layers or none"
        )
    own = positions(len(stack), layers, take)
    kept = [stack[position] for position in own]
    del stack[:]
    stack.extend(kept)
    model.config.num_hidden_layers = len(kept)
    for by_layer in ("kept_heads", "kept_neurons", "layer_groups"):
        if (left := getattr(model.config, by_layer, None)) is not None:
            setattr(model.config, by_layer, [left[position] for position in own])
    return model


def _distinct(model: PreTrainedModel) -> list[int]:
    """How many whole layers, attentions and feed-forward parts there are."""
    layers = encoders.layers(model)
    attentions = {id(layer.module.get_submodule(layer.naming.attention)) for layer in layers}
    return [len(layers), len(attentions), len({id(layer.ffn_in) for layer in layers})]
