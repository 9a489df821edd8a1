"""Word tables as a product of two narrow matrices, by truncated SVD (Lan et al., ICLR 2020, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods.precision import exact
from tasks.errors import BadInput


class FactorisedEmbedding(nn.Module):
    """A table of width E and the matrix that brings its rows to width H."""

    def __init__(self, vocabulary: int, narrow: int, wide: int, padding: int | None) -> None:
        """Make both matrices, of shapes (vocabulary, narrow) and (wide, narrow)."""
        super().__init__()
        self.table = nn.Embedding(vocabulary, narrow, padding_idx=padding)
        self.projection = nn.Linear(narrow, wide, bias=False)

    @property
    def weight(self) -> Tensor:
        """The product, shape (vocabulary, wide)."""
        return self.table.weight @ self.projection.weight.T

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids of any shape; the result has one more axis, of width H."""
        embedded: Tensor = self.projection(self.table(ids))
        return embedded


def check_width(table: Tensor, narrow: int) -> None:
    """Refuse a width that a word table of shape (V, H) cannot be cut to.

    Raises:
        BadInput: the table is narrower.
    """
    if narrow > min(table.shape):
        raise BadInput(
            f"embedding: {narrow} is more than the {min(table.shape)} the word table can be cut to"
        )


@torch.no_grad()
def factorise(table: Tensor, narrow: int) -> tuple[Tensor, Tensor]:
    """Return A of shape (V, E) and P of shape (E, H) whose product is nearest to the table.

    With W ~ U S V', A is U S^(1/2) and P is S^(1/2) V', so both start at the same scale.

    Raises:
        BadInput: the table is narrower.
    """
    check_width(table, narrow)
    left, values, right = torch.linalg.svd(exact(table), full_matrices=False)
    roots = values[:narrow].sqrt()
    return (left[:, :narrow] * roots).to(table), (roots[:, None] * right[:narrow]).to(table)


def set_shape(model: PreTrainedModel, narrow: int) -> FactorisedEmbedding:
    """Replace the word table by a factorised one without weights of its own yet, in place, and return it.

    The norm and the other tables stay at the hidden width, as in BERT; in ALBERT they are narrow too.
    """
    table = model.get_input_embeddings()
    vocabulary, wide = table.weight.shape
    made = FactorisedEmbedding(vocabulary, narrow, wide, table.padding_idx).to(table.weight.device)
    model.base_model.set_input_embeddings(made)
    model.config.word_embedding_size = narrow
    return made


def factorise_words(model: PreTrainedModel, narrow: int) -> PreTrainedModel:
    """Factorise the word table of an encoder in place; return the model.

    `config.word_embedding_size` says so.

    Raises:
        BadInput: the table is narrower.
    """
    rows, columns = factorise(model.get_input_embeddings().weight, narrow)
    made = set_shape(model, narrow)
    with torch.no_grad():
        made.table.weight.copy_(rows)
        made.projection.weight.copy_(columns.T)
    return model
