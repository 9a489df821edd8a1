"""What a pre-training work says about itself in its notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from torch import nn

from methods.pretraining.loop import TextLoss, evaluate
from methods.pretraining.state import Progress
from tasks.corpus.stream import Stream
from tasks.corpus.text import Text

_SUMMARY = "summary.json"


def write_summary(facts: dict[str, Any], folder: Path) -> None:
    """Keep what fine-tuned rows say of a pre-training in its `folder`: all facts but the curve."""
    without_curve = {name: value for name, value in facts.items() if name != "curve"}
    (folder / _SUMMARY).write_text(json.dumps(without_curve))


def read_summary(folder: Path) -> dict[str, Any]:
    """Return what `write_summary` left in the folder of a pre-training."""
    facts: dict[str, Any] = json.loads((folder / _SUMMARY).read_text())
    return facts


def held_out(model: nn.Module, loss: TextLoss, stream: Stream, *, bf16: bool = False) -> dict[str, Any]:
    """Return every figure on documents kept from training; accuracies with n and a 95 % interval."""
    found: dict[str, Any] = {}
    for name, (mean, count) in evaluate(model, loss, stream, bf16=bf16).items():
        found[name] = mean
        if name.endswith("_accuracy"):
            found[f"{name}_ci"] = list(wilson(mean, count))
            found[f"{name}_n"] = count
    return found


def summary(progress: Progress, text: Text, found: dict[str, Any]) -> dict[str, Any]:
    """Return the curve, the held-out figures and what they are to be compared with."""
    return {
        "steps": progress.step,
        "tokens": progress.cost.tokens,
        "tokens_per_second": progress.cost.tokens / max(progress.seconds, 1e-9),
        # Unlike wall time it hardly depends on what runs beside it.
        "processor_seconds": progress.processor_seconds,
        "epochs": progress.cost.tokens / int(text.tokens(text.training).sum()),
        "unigram_entropy": unigram_entropy(text),
        "held_out": found,
        "curve": progress.curve,
    }


def unigram_entropy(text: Text) -> float:
    """Entropy of the token frequencies in nats: about the masked-word loss of a model that sees no context.

    Whole words within a sequence's budget favour short and frequent ones, so at masked places such a model
    is 0.03 to 0.1 nats lower (measured with 8,000 and 30,522 words, see docs/results/pretraining.md).
    """
    counts = text.counts()
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n trials (Wilson, 1927)."""
    low, high = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return float(low), float(high)
