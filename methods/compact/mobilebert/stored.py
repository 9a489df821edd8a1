"""A pre-trained bottleneck BERT in the folder of the work that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers.initialization import no_init_weights

from methods import checkpoint
from methods.compact.mobilebert.model import BottleneckBertForPreTraining
from methods.pretraining.heads import HEADS
from methods.pretraining.report import write_summary
from tasks.errors import BadInput


def save(model: BottleneckBertForPreTraining, facts: dict[str, Any], folder: Path) -> None:
    """Write the encoder to `folder/model`, its heads beside it, and the facts without the curve."""
    checkpoint.save(model.mobilebert, folder / "model")
    save_file({name: tensor.contiguous() for name, tensor in model.cls.state_dict().items()}, folder / HEADS)
    write_summary(facts, folder)


def load(folder: Path) -> BottleneckBertForPreTraining:
    """Read what `save` wrote, on the CPU, in eval mode; no random state is touched.

    Raises:
        BadInput: encoder and heads are of two configurations.
    """
    encoder = checkpoint.load(folder / "model")
    with no_init_weights():
        model = BottleneckBertForPreTraining(encoder.config)
    model.mobilebert = encoder
    try:
        model.cls.load_state_dict(load_file(folder / HEADS))
    except RuntimeError as error:
        raise BadInput(
            f"{folder / HEADS} does not belong to the encoder beside it: {error}; "
            "remove the record and run again"
        ) from error
    return model.eval()
