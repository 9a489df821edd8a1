"""Released MobileBERT checkpoints as our own models, which do not mind how their batch is padded."""

from __future__ import annotations

from transformers import PreTrainedModel

from methods.compact.mobilebert.configuration import BottleneckBertConfig
from methods.compact.mobilebert.model import BottleneckBertForSequenceClassification


def convert(model: PreTrainedModel) -> BottleneckBertForSequenceClassification:
    """Turn transformers' MobileBERT classifier into ours, with the same weights, in eval mode.

    transformers' one gives a text other logits in another batch: the trigram of its last token sees [PAD]
    where a longer text stands beside it, and zeros where none does. Released weights were trained on padded
    texts, so ours always sees [PAD] there, as if one [PAD] followed every text.
    """
    fields = {name: value for name, value in model.config.to_dict().items() if name != "model_type"}
    config = BottleneckBertConfig.from_dict({**fields, "zero_padding": False})
    converted = BottleneckBertForSequenceClassification(config)
    converted.load_state_dict(model.state_dict())
    return converted.eval()
