"""The uncompressed baseline and the control of equal extra training."""

from __future__ import annotations

import pytest
import torch

from methods import checkpoint, encoders
from methods.baselines.finetune import Finetune
from methods.baselines.finetune_more import FinetuneMore


def same(first, second):
    return all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_finetune_trains_the_whole_pretrained_model(run):
    trial = run()
    before = trial.pretrained()
    model = Finetune().compress(trial)
    assert encoders.parameters(model) == encoders.parameters(before)
    unchanged = [
        name
        for name, tensor in model.state_dict().items()
        if "position_ids" not in name and torch.equal(tensor, before.state_dict()[name])
    ]
    assert unchanged == []
    assert (trial.cost.steps, trial.cost.examples) == (4, 32)
    assert not model.training


@pytest.mark.parametrize(("redraws", "collapses", "drawn"), [(0, 9, 0), (3, 0, 0), (3, 2, 2), (3, 9, 3)])
def test_a_collapsed_start_model_is_drawn_again(run, monkeypatch, redraws, collapses, drawn):
    trial = run()
    trial.redraws, judged, fitted = redraws, [], []
    monkeypatch.setattr(Finetune, "_collapsed", lambda *_: judged.append(1) or len(judged) <= collapses)
    monkeypatch.setattr(type(trial), "fit", lambda self, *_, **__: fitted.append(self.seeds.order))
    Finetune().compress(trial)
    assert trial.notes["redraws"] == drawn
    assert len(set(fitted)) == len(fitted) == drawn + 1


def test_fields_left_out_are_the_sweeps(run):
    plain, explicit, other = run(), run(), run()
    first = Finetune().compress(plain)
    second = Finetune(epochs=1, learning_rate=1e-3, batch_size=8).compress(explicit)
    third = Finetune(epochs=2, batch_size=16).compress(other)
    assert same(first, second)
    assert plain.cost == explicit.cost
    assert (other.cost.steps, other.cost.examples) == (4, 64)
    assert not same(first, third)


def test_finetune_more_starts_from_the_start_model(run):
    trial = run()
    start = checkpoint.load(trial.results["finetune"] / "model")
    model = FinetuneMore(steps=1).compress(trial)
    # The schedule's first step has rate 0: what is left of the start model is all of it.
    assert same(start, model)
    assert trial.cost.steps == 1


def test_finetune_more_trains_as_long_as_asked(run):
    lengths = {}
    for name, method in {
        "default": FinetuneMore(),
        "epochs": FinetuneMore(epochs=2.5),
        "steps": FinetuneMore(steps=7),
    }.items():
        trial = run()
        start, model = trial.start(), method.compress(trial)
        assert not same(start, model)
        lengths[name] = trial.cost.steps
    assert lengths == {"default": 4, "epochs": 10, "steps": 7}
