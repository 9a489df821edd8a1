from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.batches import collate, epoch, in_order
from tasks.examples import Examples

ALL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def examples_of(lengths: list[int] | np.ndarray, inputs: tuple[str, ...] = ALL_INPUTS) -> Examples:
    """Row i holds `lengths[i]` tokens, all of them i + 1, and has the label i % 2."""
    lengths = np.asarray(lengths)
    return Examples(
        ids=np.repeat(np.arange(len(lengths), dtype=np.int32) + 1, lengths),
        types=np.concatenate([(np.arange(n) > n // 2).astype(np.uint8) for n in lengths]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        rows=np.arange(len(lengths)),
        labels=np.arange(len(lengths)) % 2,
        pad_id=0,
        inputs=inputs,
    )


@pytest.fixture
def examples() -> Examples:
    return examples_of(np.random.default_rng(0).integers(2, 60, 1_003))


def order_of(batches) -> list[int]:
    return torch.cat([batch.positions for batch in batches]).tolist()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1_003])
@pytest.mark.parametrize("batches", [lambda e: epoch(e, 8, 1, 0), lambda e: in_order(e, 8)])
def test_every_example_exactly_once(count, batches):
    made = list(batches(examples_of(np.random.default_rng(0).integers(2, 60, count))))
    assert sorted(order_of(made)) == list(range(count))
    assert len(made) == -(-count // 8)
    assert sum(len(batch.positions) < 8 for batch in made) == (count % 8 > 0)


def test_order_depends_on_seed_and_epoch_alone(examples):
    orders = {}
    for seed, number in ((1, 0), (1, 1), (2, 0)):
        torch.manual_seed(seed + number)
        np.random.seed(seed)  # noqa: NPY002 - the point is that the global state does not matter
        orders[seed, number] = order_of(epoch(examples, 32, seed, number))
        assert order_of(epoch(examples, 32, seed, number)) == orders[seed, number]
    assert len({tuple(order) for order in orders.values()}) == 3


def test_no_random_state_is_touched(examples):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    list(epoch(examples, 32, 1, 0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_rows_of_a_batch_carry_their_tokens_types_label_and_position(examples):
    for batch in epoch(examples, 32, 1, 0):
        for i, position in enumerate(batch.positions.tolist()):
            length = int(examples.lengths[position])
            assert batch.inputs["input_ids"][i].tolist()[:length] == [position + 1] * length
            assert not batch.inputs["input_ids"][i, length:].any()
            assert batch.inputs["attention_mask"][i].sum() == length
            assert batch.inputs["attention_mask"][i, :length].all()
            start = examples.offsets[position]
            assert (
                batch.inputs["token_type_ids"][i, :length].tolist()
                == examples.types[start:][:length].tolist()
            )
            assert batch.labels[i] == position % 2


def test_padding_ends_at_the_longest_of_the_batch(examples):
    for batches in (epoch(examples, 32, 1, 0), in_order(examples, 32)):
        for batch in batches:
            longest = examples.lengths[batch.positions.numpy()].max()
            assert {tensor.shape[1] for tensor in batch.inputs.values()} == {longest}


def test_buckets_leave_little_padding_and_batches_come_in_random_order(examples):
    batches = list(epoch(examples, 32, 1, 0))
    real = sum(int(batch.inputs["attention_mask"].sum()) for batch in batches)
    room = sum(batch.inputs["input_ids"].numel() for batch in batches)
    assert real / room > 0.9
    widths = [batch.inputs["input_ids"].shape[1] for batch in batches]
    assert widths != sorted(widths) and widths != sorted(widths, reverse=True)


def test_companions_change_from_epoch_to_epoch():
    examples = examples_of(np.full(400, 5))
    first, second = (
        {frozenset(batch.positions.tolist()) for batch in epoch(examples, 8, 1, number)} for number in (0, 1)
    )
    assert not first & second


def test_the_smaller_batch_is_not_always_the_longest_examples():
    examples = examples_of(np.arange(2, 105))
    small = [min(epoch(examples, 10, 1, number), key=lambda b: len(b.labels)) for number in range(20)]
    assert np.mean([examples.lengths[batch.positions.numpy()].mean() for batch in small]) < 80


def test_in_order_begins_with_the_longest(examples):
    lengths = examples.lengths[order_of(in_order(examples, 32))]
    assert (np.diff(lengths) <= 0).all()


def test_a_subset_counts_positions_from_its_own_start(examples):
    part = examples.subset([10, 500, 3])
    assert part.lengths.tolist() == examples.lengths[[10, 500, 3]].tolist()
    batch = next(in_order(part, 8))
    first_token = {
        int(p): int(row[0]) for p, row in zip(batch.positions, batch.inputs["input_ids"], strict=True)
    }
    assert first_token == {0: 11, 1: 501, 2: 4}
    assert part.subset([2]).rows.tolist() == [3]


def test_inputs_are_those_the_model_takes():
    examples = examples_of([3, 4], inputs=("input_ids", "attention_mask"))
    assert set(collate(examples, np.array([0, 1])).inputs) == {"input_ids", "attention_mask"}


def test_a_batch_goes_to_a_device():
    batch = collate(examples_of([3, 4]), np.array([1, 0])).to(torch.device("meta"))
    tensors = [*batch.inputs.values(), batch.labels]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    # Rows of files are looked up by them: fetched back from a GPU they would make every step wait for it.
    assert batch.positions.device.type == "cpu" and batch.positions.tolist() == [1, 0]
