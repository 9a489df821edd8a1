from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from methods import encoders
from methods.sharing.distances import layer_distances
from methods.sharing.ties import share_layers
from tasks.batches import in_order


def batches(examples, size=64):
    return [batch.inputs for batch in in_order(examples, size)]


class Moves(nn.Module):
    """A layer that scales its input, or turns it around."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, hidden, *_, **__):
        return hidden * self.factor


def test_known_moves_are_measured_without_padding(tiny_bert, examples):
    model = tiny_bert(num_hidden_layers=3)
    stack = encoders.stack(model)
    turn = Moves(-1.0)
    stack[0], stack[1], stack[2] = turn, Moves(1.0), turn
    first, second, third = layer_distances(model, batches(examples(), 7))
    assert [d.cosine for d in (first, second, third)] == pytest.approx([-1, 1, -1])
    assert [d.degrees for d in (first, second, third)] == pytest.approx([180, 0, 180], abs=1e-4)
    assert second.l2 == 0
    # The norm of embeddings after their LayerNorm is the root of the width.
    assert first.l2 == third.l2 == pytest.approx(2 * 32**0.5, rel=1e-3)


def test_shared_layers_are_measured_at_every_position(tiny_bert, examples):
    model = share_layers(tiny_bert(num_hidden_layers=4, initializer_range=0.3), 1, "first")
    found = layer_distances(model, batches(examples()))
    assert len(found) == 4 and len({round(d.l2, 6) for d in found}) == 4
    data = examples().subset([5])
    ids = torch.from_numpy(data.ids[data.offsets[data.rows[0]] : data.offsets[data.rows[0] + 1]]).long()[None]
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).hidden_states
    expected = [float((b - a).norm(dim=-1).mean()) for a, b in itertools.pairwise(states)]
    assert [d.l2 for d in layer_distances(model, batches(data))] == pytest.approx(expected, rel=1e-4)
