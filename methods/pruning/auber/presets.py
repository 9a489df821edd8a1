"""What AUBER's presets stand for: the settings in which paper, official code and a clean protocol differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["clean", "paper", "code"]
State = Literal["value", "query", "key", "constant"]
Norm = Literal["l1", "l2"]
MiniDev = Literal["selection", "train", "train-redrawn"]
Metric = Literal["primary", "official"]
Trainer = Literal["sweep", "official"]


@dataclass(frozen=True)
class Preset:
    """Values of the fields of the same names; a field that is given has the last word."""

    norm: Norm
    """Of a head's weights in the state."""
    mini_dev: MiniDev
    """What rewards are measured on."""
    metric: Metric
    """What rewards are changes of."""
    trainer: Trainer
    """Batch size, warm-up and decay of the fine-tuning after each layer."""


PRESETS: dict[Name, Preset] = {
    "clean": Preset(norm="l1", mini_dev="selection", metric="primary", trainer="sweep"),
    # Of the paper's text no more is known for sure than its norm; the rest is the official code's.
    "paper": Preset(norm="l1", mini_dev="train-redrawn", metric="official", trainer="official"),
    "code": Preset(norm="l2", mini_dev="train-redrawn", metric="official", trainer="official"),
}
