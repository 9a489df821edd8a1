"""How knowledge goes from IB-BERT to MobileBERT, as fields. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from methods.compact.mobilebert.phases import Lower, Strategy
from methods.settings import Settings


class Recipe(Settings):
    """Knowledge transfer and pre-training distillation (Sun et al., sections 3.5 and 3.6)."""

    strategy: Strategy = Field(
        "pkt", description="all losses at once, all layers then words, layer by layer then words, words only"
    )
    lower: Lower = Field(
        "slow", description="pkt: layers below the taught one train at a tenth of its rate, or not at all"
    )
    feature_maps: Literal["mse", "decomposed", "none"] = Field(
        "mse", description="match layer outputs as in the paper, as in the published code, or not"
    )
    attention: bool = Field(True, description="match the attention of every head")
    count_padding: bool = Field(False, description="padded tokens count too, as in the published code")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the true word; the teacher's have the rest")
    transfer_share: float = Field(
        0.324, gt=0, le=1, description="jkt, pkt: share of the steps for the layers; 240,000 of 740,000"
    )

    @model_validator(mode="after")
    def _something_is_transferred(self) -> Self:
        if self.strategy != "none" and self.feature_maps == "none" and not self.attention:
            raise ValueError("neither feature maps nor attention are transferred: say strategy: none")
        return self
