"""Sharing the start model's layers and recovering it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_corpus import VOCABULARY, access
from transformers import BertConfig, BertForSequenceClassification

from methods import checkpoint, encoders
from methods.inference import predict
from methods.pretrained import Source
from methods.sharing.recovery import recover_on_text
from methods.sharing.shared_layers import SharedLayers
from methods.sharing.ties import share_layers
from tasks.errors import BadInput
from tasks.tokens import tokenizer


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


def with_corpus(trial, folder, layers=4):
    """The trial with a corpus, and an encoder and start model of that corpus's vocabulary."""
    trial.corpus = access(folder)
    words = tokenizer(str(trial.corpus.vocabulary("wordpiece", VOCABULARY)), None)
    source = folder / "vocabulary"
    words.backend.save_pretrained(source)
    trial.model = Source("tiny", None, str(source))
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4}
    config = BertConfig(vocab_size=VOCABULARY, intermediate_size=64, max_position_embeddings=64, **sizes)
    torch.manual_seed(0)
    checkpoint.save(BertForSequenceClassification(config), folder / "start" / "model")
    trial.results = {**trial.results, "finetune": folder / "start"}
    trial.training = trial.training.override(max_length=32)
    return trial


def test_it_recovers_on_the_corpus_first_and_then_on_its_task(run, tmp_path):
    fields = {"groups": 1, "alpha": 0.0, "embedding": 8}
    trial = with_corpus(run(), tmp_path / "text")
    method = SharedLayers(corpus_tokens=3 * 32 * 32, **fields)
    model = method.compress(trial)
    assert method.uses_corpus() and not SharedLayers().uses_corpus()
    assert method.cost() > SharedLayers().cost()
    notes = trial.notes["recovery"]
    assert notes["steps"] == 3 and trial.cost.steps == 3 + 4
    assert (
        notes["tokens"] < trial.cost.tokens and {"mlm_accuracy", "pair_accuracy"} <= notes["held_out"].keys()
    )
    assert json.dumps(notes)
    assert len(set(encoders.stack(model))) == 1 and model.config.word_embedding_size == 8
    other = with_corpus(run(), tmp_path / "text")
    on_labels_alone = SharedLayers(**fields).compress(other)
    assert not np.array_equal(predict(model, trial.train), predict(on_labels_alone, other.train))


def test_recovery_on_text_changes_the_encoder_and_not_the_classifier(run, tmp_path):
    trial = with_corpus(run(), tmp_path / "text")
    model = share_layers(trial.start(), 1, "mean")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recover_on_text(trial, model, 2 * 32 * 32, batch_size=32)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in before if name.startswith("classifier")}.isdisjoint(changed)
    assert "bert.encoder.layer.0.output.dense.weight" in changed and "bert.pooler.dense.weight" in changed
    assert trial.notes["recovery"]["steps"] == 2


def test_the_model_that_was_not_trained_again_is_a_stage(run):
    """What direct sharing costs is a result too."""
    trial = run(layers=4)
    model = SharedLayers(alpha=0).compress(trial)
    (folder,) = trial.stages.values()
    assert trial.stages.keys() == {"unrecovered"}
    before, after = checkpoint.load(folder).state_dict(), model.state_dict()
    expected = share_layers(trial.start(), 2, "mean").state_dict()
    assert all(torch.equal(before[name], expected[name]) for name in expected)
    assert any(not torch.equal(before[name], after[name]) for name in expected)


def test_layers_that_share_weights_are_not_shared_again(run):
    model = share_layers(run(layers=4).start(), 2, "mean")
    with pytest.raises(BadInput, match="the layers of 'bert' share weights already"):
        share_layers(model, 1, "mean")


def test_recovery_on_text_wants_text_and_a_pooler(run, tmp_path):
    trial = with_corpus(run(), tmp_path / "text")
    trial.corpus = None
    with pytest.raises(BadInput, match="corpus: missing"):
        SharedLayers(corpus_tokens=1).compress(trial)
    model = trial.start()
    model.base_model.pooler = None
    with pytest.raises(BadInput, match="corpus_tokens: sentence order is learnt through a pooler"):
        recover_on_text(trial, model, 1, batch_size=32)
