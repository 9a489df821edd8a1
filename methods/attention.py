"""Which attention kernel runs where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel


@contextmanager
def fastest_attention(model: PreTrainedModel) -> Iterator[None]:
    """On a CPU run attention as plain matrix products; elsewhere leave the model's choice.

    With dropout PyTorch's fused attention falls back to a checked, slower path on CPUs, and without it the
    backward pass of the fused kernel is slower than the plain one at the lengths of sentences: training in
    bf16 gains a sixth. The function computed is the same.
    """
    if next(model.parameters()).device.type == "cpu":
        with eager_attention(model):
            yield
    else:
        yield


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Run attention as plain matrix products, whose probabilities can be read."""
    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)
