"""Model classes by name: those of transformers, and our own where it has none. Imports no torch."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ALBERT = "methods.sharing.albert.model"
_MOBILEBERT = "methods.compact.mobilebert.model"
OWN = {
    "CompactAlbertModel": _ALBERT,
    "CompactAlbertForSequenceClassification": _ALBERT,
    "BottleneckBertModel": _MOBILEBERT,
    "BottleneckBertForSequenceClassification": _MOBILEBERT,
}
"""Module of each class of ours. `<X>Model` is an encoder, `<X>ForSequenceClassification` has a classifier."""


UNSHARED = ("bert", "roberta", "electra", "distilbert", "mobilebert", "bottleneck-bert")
"""Model types that are known and whose layers are all their own."""
KNOWN = (*UNSHARED, "albert", "compact-albert")
"""Model types that can be a sweep's encoder."""


def find(name: str) -> type[PreTrainedModel]:
    """Return the class that a config's `architectures` names."""
    module = importlib.import_module(OWN.get(name, "transformers"))
    found: type[PreTrainedModel] = getattr(module, name)
    return found


def own_encoder(folder: Path) -> str | None:
    """Return the class of the encoder in `folder` if it is one of ours; None for any other, or no folder."""
    config = folder / "config.json"
    if not config.is_file():
        return None
    names = json.loads(config.read_text()).get("architectures") or [""]
    return names[0] if names[0] in OWN else None
