from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_encoders import HEADS, LAYERS, encoder

from methods.pruning.budget import smallest_share, units_to_remove
from methods.pruning.order import ascending, by_layer, random_order, surviving_heads
from tasks.errors import BadInput


def test_budgets_are_floors_in_decimal_arithmetic():
    assert [units_to_remove(144, step / 10) for step in range(10)] == [
        0, 14, 28, 43, 57, 72, 86, 100, 115, 129,
    ]  # fmt: skip
    assert units_to_remove(100, 0.29) == 29
    assert units_to_remove(10, 0.3) == 3


@pytest.mark.parametrize("total", [1, 7, 8, 12, 72, 999, 1000])
def test_the_smallest_share_is_the_first_thousandth_that_removes_one(total):
    share = smallest_share(total)
    assert total == 1 or units_to_remove(total, share) >= 1
    assert units_to_remove(total, round(share - 0.001, 3)) == 0


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(BadInput, match="at least 0 and below 1"):
        units_to_remove(12, share)


def test_random_order_is_a_permutation_decided_by_its_seed():
    model = encoder("bert")
    order = random_order(model, 7)
    assert sorted(order) == surviving_heads(model)
    assert order == random_order(encoder("roberta", 3), 7)
    torch.rand(1), np.random.rand(1)  # noqa: NPY002
    assert order == random_order(model, 7)
    assert len({tuple(random_order(model, seed)) for seed in range(20)}) == 20


def test_random_order_is_uniform():
    model = encoder("bert")
    first = [random_order(model, seed)[0] for seed in range(1200)]
    counts = np.array([first.count(head) for head in surviving_heads(model)])
    # 12 cells of 100 expected: chi-square with 11 degrees of freedom, 99.9 % quantile.
    assert ((counts - 100) ** 2 / 100).sum() < 31.3


def test_larger_budgets_remove_supersets():
    model = encoder("bert")
    order = random_order(model, 1)
    sets = [{*order[: units_to_remove(12, share / 10)]} for share in range(10)]
    assert all(small <= large for small, large in pairwise(sets))
    assert by_layer(order) == {layer: list(range(HEADS)) for layer in range(LAYERS)}


def test_the_least_important_head_goes_first_and_ties_go_by_number():
    model = encoder("bert")
    scores = np.full((LAYERS, HEADS), 0.5)
    scores[2, 1], scores[0, 3] = 0.1, 0.9
    order = ascending(model, scores)
    assert order[0] == (2, 1)
    assert order[1:4] == [(0, 0), (0, 1), (0, 2)]
    assert order[-1] == (0, 3)
    assert by_layer(order[:3]) == {0: [0, 1], 2: [1]}
