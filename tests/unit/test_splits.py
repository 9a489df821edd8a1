from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import BadInput
from tasks.splits import split

PARTS = ("train", "reward", "choice")


def labels_of(count: int, share: float = 0.3, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(count) < share).astype(np.int64)


def all_rows(parts) -> np.ndarray:
    return np.concatenate([getattr(parts, name) for name in PARTS])


@pytest.mark.parametrize("limit", [None, 300, 999, 1_000, 5_000])
@pytest.mark.parametrize("selection", [0.2, 0.5, 150])
def test_parts_are_disjoint_and_cover_what_the_limit_leaves(limit, selection):
    rows = all_rows(split(labels_of(1_000), limit=limit, selection=selection, seed=3))
    assert len(np.unique(rows)) == len(rows) == min(1_000, limit or 1_000)
    assert rows.min() >= 0 and rows.max() < 1_000


@pytest.mark.parametrize("limit", [None, 400, 701])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_each_part_holds_its_share_of_each_class_to_one_example(limit, share):
    labels = labels_of(1_000, share)
    parts = split(labels, limit=limit, selection=0.2, seed=5)
    for rows in (*(getattr(parts, name) for name in PARTS), all_rows(parts)):
        for label in (0, 1):
            expected = len(rows) * np.mean(labels == label)
            assert abs(np.sum(labels[rows] == label) - expected) <= 1


def test_equal_seeds_give_equal_splits_and_others_do_not():
    labels = labels_of(1_000)
    one, same, other = (split(labels, limit=500, selection=0.2, seed=seed) for seed in (1, 1, 2))
    for name in PARTS:
        assert np.array_equal(getattr(one, name), getattr(same, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_a_smaller_limit_takes_some_of_the_rows_of_a_larger_one():
    labels = labels_of(1_000)
    small, large = (all_rows(split(labels, limit=limit, selection=0.2, seed=1)) for limit in (300, 600))
    assert set(small) < set(large)


@pytest.mark.parametrize(
    ("count", "selection", "kept"),
    [
        (2_000, 0.2, 400),  # a fifth
        (500, 0.2, 128),  # at least 128
        (200, 0.2, 100),  # but at most half
        (2_000, 0.1, 200),
        (2_000, 64, 64),  # a count is a count
        (2_000, 1_500, 1_500),
        (501, 129, 129),
    ],
)
def test_size_of_the_selection(count, selection, kept):
    parts = split(labels_of(count), limit=None, selection=selection, seed=1)
    assert len(parts.reward) == kept // 2
    assert len(parts.choice) == kept - kept // 2
    assert len(parts.train) == count - kept


@pytest.mark.parametrize("selection", [0, 1, 2, 1_000, 2_000])
def test_a_part_without_examples_of_a_class_is_refused(selection):
    with pytest.raises(BadInput, match=rf"selection: {selection} of 1000 .*no example of class"):
        split(labels_of(1_000), limit=None, selection=selection, seed=1)


def test_a_class_with_too_few_rows_is_refused():
    labels = np.zeros(1_000, dtype=np.int64)
    labels[:2] = 1
    with pytest.raises(BadInput, match="no example of class 1 is left for 'reward'"):
        split(labels, limit=None, selection=0.2, seed=1)


def test_a_limit_that_leaves_out_a_class_is_refused():
    with pytest.raises(BadInput, match=r"limit: 3, .*raise `limit`"):
        split(labels_of(1_000), limit=3, selection=0.2, seed=1)
