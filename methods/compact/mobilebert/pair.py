"""A teacher and a student that fit each other, and what the student takes over before it is taught."""

from __future__ import annotations

import torch

from methods.compact.mobilebert.configuration import BottleneckBertConfig
from methods.compact.mobilebert.model import BottleneckBertForPreTraining
from tasks.errors import BadInput

# What knowledge transfer compares layer by layer, and what the student copies.
_EQUAL = {
    "hidden_size": "block widths",
    "num_attention_heads": "head counts",
    "num_hidden_layers": "depths",
    "embedding_size": "embedding sizes",
    "vocab_size": "vocabularies",
    "max_position_embeddings": "numbers of positions",
    "type_vocab_size": "numbers of token types",
}


def check_pair(student: BottleneckBertConfig, teacher: BottleneckBertConfig) -> None:
    """Refuse a pair whose feature maps or attention maps cannot be compared.

    A learnt projection between unequal widths would be another method, so there is none.

    Raises:
        BadInput: student and teacher differ where they must not.
    """
    for field, what in _EQUAL.items():
        mine, theirs = getattr(student, field), getattr(teacher, field)
        if mine != theirs:
            raise BadInput(
                f"mobilebert: student and teacher have different {what} ({field} {mine} and {theirs}); "
                "give the student the teacher's, only the width inside blocks may differ"
            )


@torch.no_grad()
def adopt(student: BottleneckBertForPreTraining, teacher: BottleneckBertForPreTraining) -> None:
    """Start the student's embeddings and heads from the teacher's, as the published code does.

    All variables outside the encoder that both have are copied. A normalisation is copied only where both
    are of one kind: the gain of a LayerNorm means nothing to a NoNorm.
    """
    same_norm = student.config.normalization_type == teacher.config.normalization_type
    theirs = dict(teacher.named_parameters())
    for name, parameter in student.named_parameters():
        outside = not name.startswith("mobilebert.encoder.")
        if (
            outside
            and name in theirs
            and (same_norm or not name.startswith("mobilebert.embeddings.LayerNorm"))
        ):
            parameter.copy_(theirs[name])
