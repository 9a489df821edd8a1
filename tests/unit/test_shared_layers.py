"""Sharing the start model's layers and recovering it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from methods import encoders
from methods.inference import predict
from methods.sharing.shared_layers import SharedLayers
from methods.sharing.ties import share_layers


def test_half_of_the_layers_are_left_by_default_and_stay_one_while_training(run):
    trial = run(layers=4)
    model = SharedLayers().compress(trial)
    stack = encoders.stack(model)
    assert [list(stack).index(layer) for layer in stack] == [0, 0, 2, 2]
    assert model.config.layer_groups == [0, 0, 1, 1]
    assert trial.cost.steps == 4
    before = share_layers(trial.start(), 2, "mean")
    assert not torch.equal(stack[0].output.dense.weight, encoders.stack(before)[0].output.dense.weight)


def test_it_starts_from_the_start_model_and_recovers_towards_its_outputs(run):
    trial = run(layers=4)
    teacher = trial.teacher_logits()

    def distance(model):
        return float(np.abs(predict(model, trial.train) - teacher).mean())

    unrecovered = distance(share_layers(trial.start(), 1, "mean"))
    recovered = distance(SharedLayers(groups=1, alpha=1.0, epochs=30, learning_rate=3e-3).compress(trial))
    assert recovered < 0.7 * unrecovered
    assert trial.cost.steps == 120


def test_init_and_overrides_reach_training(run):
    first, mean = run(layers=4), run(layers=4)
    one = SharedLayers(groups=2, init="first", batch_size=16).compress(first)
    other = SharedLayers(groups=2, init="mean", batch_size=16).compress(mean)
    assert first.cost.steps == mean.cost.steps == 2
    assert not np.array_equal(predict(one, first.train), predict(other, mean.train))


def test_without_a_teacher_its_outputs_are_not_read(run):
    trial = run()
    trial.results = {"finetune": trial.results["finetune"]}
    SharedLayers(alpha=0, groups=1).compress(trial)
    assert trial.cost.steps == 4


def test_ways_to_start_and_a_factorised_table_reach_the_model(run):
    for fields in ({"init": "matched-mean"}, {"init": "layer", "layer": 1, "embedding": 8}):
        trial = run(layers=4)
        model = SharedLayers(groups=1, **fields).compress(trial)
        assert len(set(encoders.stack(model))) == 1
        assert getattr(model.config, "word_embedding_size", None) == fields.get("embedding")
        assert trial.cost.steps == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"init": "layer", "groups": 1}, "go together"),
        ({"layer": 2}, "go together"),
        ({"init": "layer", "layer": 2}, "give groups: 1"),
    ],
)
def test_one_layer_is_named_and_alone(fields, message):
    with pytest.raises(ValidationError, match=message):
        SharedLayers(**fields)
