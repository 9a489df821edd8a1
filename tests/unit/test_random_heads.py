import json

import pytest
import torch
from head_pruning_runs import head_pruning_run
from pydantic import ValidationError
from tiny_encoders import HEADS, KINDS, LAYERS, PER_HEAD

from methods import encoders
from methods.pruning.random_heads import RandomHeads
from methods.pruning.sixteen_heads import SixteenHeads
from tasks.errors import BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_removes_its_share_and_says_which(kind, tmp_path):
    run = head_pruning_run(tmp_path, kind)
    model = RandomHeads(heads=0.3).compress(run)
    removed = encoders.parameters(run.start()).total - encoders.parameters(model).total
    assert removed == 3 * PER_HEAD
    json.dumps(run.notes)
    assert run.notes["kept_heads"] == encoders.kept_heads(model)
    for kept, gone in zip(run.notes["kept_heads"], run.notes["removed_heads"], strict=True):
        assert sorted(kept + gone) == list(range(HEADS))


def test_draws_anew_for_every_seed_and_larger_shares_remove_supersets(tmp_path):
    def kept(share, seed):
        run = head_pruning_run(tmp_path, seed=seed)
        RandomHeads(heads=share).compress(run)
        return run.notes["kept_heads"]

    assert len({str(kept(0.5, seed)) for seed in range(1, 9)}) == 8
    for less, more in zip(kept(0.3, 1), kept(0.6, 1), strict=True):
        assert set(more) <= set(less)


def test_does_not_depend_on_what_ran_before_in_the_process(tmp_path):
    def weights():
        model = RandomHeads(heads=0.5, epochs=1).compress(head_pruning_run(tmp_path))
        return model.state_dict()

    first = weights()
    SixteenHeads(heads=0.5, epochs=1).compress(head_pruning_run(tmp_path, "electra"))
    torch.manual_seed(99)
    torch.rand(5)
    again = weights()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_share_of_less_than_one_head_is_refused_with_the_least_that_works(tmp_path):
    run = head_pruning_run(tmp_path)
    with pytest.raises(BadInput, match=r"random-heads.*0.05 of 12 heads.*0.084 or more"):
        RandomHeads(heads=0.05).compress(run)
    assert sum(len(heads) for heads in encoders.kept_heads(RandomHeads(heads=0.084).compress(run))) == 11


@pytest.mark.parametrize("share", [0, 1, 1.0, -0.1, 2, True, "half"])
def test_no_head_and_all_heads_are_no_share(share):
    with pytest.raises(ValidationError, match="heads"):
        RandomHeads(heads=share)


def test_almost_all_heads_leave_one(tmp_path):
    model = RandomHeads(heads=0.999).compress(head_pruning_run(tmp_path))
    assert sum(encoders.head_counts(model)) == 1
    assert encoders.head_counts(model).count(0) == LAYERS - 1


def test_offers_the_same_recovery_as_its_rival():
    shared = RandomHeads.model_fields.keys() & SixteenHeads.model_fields.keys()
    assert shared == {"heads", "budget", "floor", "epochs", "steps", "learning_rate"}
    for field in shared:
        assert RandomHeads.model_fields[field].default == SixteenHeads.model_fields[field].default
    assert (RandomHeads().heads, RandomHeads().epochs) == (0.3, 0)
    assert RandomHeads.needs == SixteenHeads.needs == ("finetune",)
    assert RandomHeads(heads=0.5, epochs=1).label == "random-heads:heads=0.5,epochs=1"
