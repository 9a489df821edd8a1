"""AUBER's schedule for its rivals: its counts, layer by layer, each followed by training."""

from __future__ import annotations

import pytest
import torch
from head_pruning_runs import head_pruning_run
from tiny_encoders import LAYERS

from methods import checkpoint, encoders
from methods.baselines.finetune_more import FinetuneMore
from methods.pruning.confidence_heads import ConfidenceHeads
from methods.pruning.importance import head_importance
from methods.pruning.magnitude_heads import MagnitudeHeads
from methods.pruning.order import ascending
from methods.pruning.random_heads import RandomHeads
from methods.pruning.sixteen_heads import SixteenHeads
from methods.pruning.surgery import prune_heads
from methods.run import Run
from tasks.batches import in_order
from tasks.errors import BadInput

REMOVED = [[0, 3], [], [1]]
LIKE = {"budget": {"like": "auber"}, "steps": 2}


def run_after_auber(folder, removed=REMOVED, **options):
    run = head_pruning_run(folder, **options)
    run.notes_of = {"auber": {"removed_heads": removed}}
    return run


@pytest.mark.parametrize("method", [RandomHeads, SixteenHeads, ConfidenceHeads, MagnitudeHeads])
def test_takes_the_counts_of_the_other_and_its_schedule(method, tmp_path):
    run = run_after_auber(tmp_path)
    model = method(**LIKE).compress(run)
    assert method(**LIKE).reads() == ("auber",)
    assert method().reads() == ()
    assert [len(heads) for heads in run.notes["removed_heads"]] == [2, 0, 1]
    assert (run.fits, run.cost.steps) == (2, 4), "a layer that loses none is not trained for"
    stages = [checkpoint.load(folder) for folder in run.stages.values()]
    assert list(run.stages) == ["layer-0", "layer-1", "layer-2"]
    assert [encoders.head_counts(stage) for stage in stages] == [[2, 4, 4], [2, 4, 4], [2, 4, 3]]
    same = [torch.equal(a, b) for a, b in zip(stages[2].parameters(), model.parameters(), strict=True)]
    assert all(same)


def test_heads_are_ranked_within_their_layer_on_the_model_as_it_then_is(tmp_path):
    run = run_after_auber(tmp_path)
    method = SixteenHeads(**LIKE, normalise=False)
    method.compress(run)
    replay = head_pruning_run(tmp_path)
    model = replay.start()
    for layer, count in ((0, 2), (2, 1)):
        ranked = ascending(model, head_importance(model, in_order(replay.train, 32)).scores)
        chosen = [head for place, head in ranked if place == layer][:count]
        assert run.notes["removed_heads"][layer] == sorted(chosen)
        prune_heads(model, {layer: chosen})
        method.recover(replay, model)


@pytest.mark.parametrize(
    ("notes", "fields", "message"),
    [
        ({}, LIKE, "'auber' does not say which heads it removed"),
        ({"removed_heads": [[0], [1]]}, LIKE, "'auber' had 2 layers, but this model has 3"),
        ({"removed_heads": [[0], [], [0, 1]]}, LIKE | {"floor": 3}, "removed 2 of 4 heads in layer 2"),
    ],
)
def test_counts_that_do_not_fit_are_refused(notes, fields, message, tmp_path):
    run = head_pruning_run(tmp_path)
    run.notes_of = {"auber": notes}
    with pytest.raises(BadInput, match=message):
        RandomHeads(**fields).compress(run)
    assert run.fits == 0


def test_the_control_trains_as_often_and_removes_nothing(tmp_path):
    run = run_after_auber(tmp_path)
    method = FinetuneMore(like="auber", steps=2)
    model = method.compress(run)
    assert method.reads() == ("auber",)
    assert method.label == "finetune-more:steps=2,like=auber"
    assert (run.fits, run.cost.steps) == (2, 4)
    assert list(run.stages) == [f"layer-{position}" for position in range(LAYERS)]
    assert encoders.kept_heads(model) == encoders.kept_heads(run.start())
    assert set(run.notes["train_choice_gap"]) == {"before", "after"}


def test_the_control_trains_with_the_seeds_of_the_method_it_controls(tmp_path, monkeypatch):
    seen = []
    fit = Run.fit

    def spy(self, model, **settings):
        seen.append((self.seeds.redrawn(self.fits), settings))
        return fit(self, model, **settings)

    monkeypatch.setattr(Run, "fit", spy)
    RandomHeads(**LIKE).compress(run_after_auber(tmp_path))
    FinetuneMore(like="auber", steps=2).compress(run_after_auber(tmp_path))
    assert seen[:2] == seen[2:]
