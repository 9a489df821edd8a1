"""Variants of a student that show what each of MobileBERT's choices costs and brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer

if TYPE_CHECKING:
    from methods.compact.mobilebert.configuration import BottleneckBertConfig


class Ratio(NamedTuple):
    """Parameters of a block's attention over those of its feed-forward networks."""

    attention: float
    """Queries, keys, values and output."""
    with_bottlenecks: float
    """The bottlenecks before attention too: so counted, the released model lies in the paper's 0.4 to 0.6."""


def ratio(config: BottleneckBertConfig) -> Ratio:
    """Count attention against feed-forward parameters of one block, norms included."""
    import torch

    from methods.compact.mobilebert.layer import Layer

    with torch.device("meta"):
        layer = Layer(config)
    attention = sum(parameter.numel() for parameter in layer.attention.parameters())
    bottlenecks = 0 if layer.bottleneck is None else sum(p.numel() for p in layer.bottleneck.parameters())
    # The last feed-forward network is written into the block itself, its output beside the way out.
    last = [*layer.intermediate.parameters(), *layer.output.dense.parameters()]
    last += layer.output.LayerNorm.parameters()
    feed_forward = sum(parameter.numel() for parameter in [*layer.ffn.parameters(), *last])
    return Ratio(attention / feed_forward, (attention + bottlenecks) / feed_forward)


def operations(pair: MobileBertTransfer) -> dict[str, MobileBertTransfer]:
    """Vary a pair's student by one choice at a time; its teacher follows where it must.

    LayerNorm and NoNorm with GELU and ReLU, one to four feed-forward networks, 16 heads against 4, and the
    widths between and inside blocks halved. Names are those of the variants.

    Raises:
        ValueError: a width is not divisible by the heads.
    """
    found: dict[str, MobileBertTransfer] = {}
    for norm in ("no_norm", "layer_norm"):
        for activation in ("relu", "gelu"):
            found[f"{norm}-{activation}"] = _changed(pair, norm=norm, activation=activation)
    for count in range(1, 5):
        found[f"ffns-{count}"] = _changed(pair, ffns=count)
    for heads in (16, 4):
        found[f"heads-{heads}"] = _changed(pair, teacher={"heads": heads})
    found["inter-halved"] = _changed(pair, teacher={"hidden": pair.teacher.hidden // 2})
    found["intra-halved"] = _changed(pair, inner=pair.inner // 2)
    return found


def _changed(pair: MobileBertTransfer, **fields: object) -> MobileBertTransfer:
    """The pair with other fields, validated anew; `teacher` is a change of its fields."""
    plain = pair.model_dump()
    teacher = fields.pop("teacher", {})
    assert isinstance(teacher, dict)
    return MobileBertTransfer.model_validate({**plain, **fields, "teacher": {**plain["teacher"], **teacher}})
