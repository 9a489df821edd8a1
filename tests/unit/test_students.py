"""Where a student comes from: its layers, its weights, or a released checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from distilled import VOCABULARY, with_model, with_states, write_tokenizer
from pydantic import ValidationError
from tiny_encoders import compact_albert
from transformers import (
    BertConfig,
    BertForPreTraining,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from methods import checkpoint, encoders, pretrained, registry
from methods.distillation.distilbert import DistilBERT
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.patient_kd import PatientKD
from methods.distillation.student import keep_layers, student_of
from methods.distillation.tinybert import TinyBERT
from methods.inference import predict
from methods.sharing.ties import share_layers
from tasks.errors import BadInput


@pytest.mark.parametrize(
    ("layers", "take", "expected"),
    [
        (2, "first", [0, 1]),
        (3, "skip", [0, 2, 5]),
        (None, "skip", [0, 2, 5]),
        (None, (6, 1), [5, 0]),
        (2, (3, 4), [2, 3]),
    ],
)
def test_layers_are_the_ones_asked_for(tiny_bert, layers, take, expected):
    model = tiny_bert(num_hidden_layers=6)
    weights = [layer.attention.self.query.weight for layer in encoders.stack(model)]
    student = keep_layers(model, layers, take)
    kept = [layer.attention.self.query.weight for layer in encoders.stack(student)]
    assert [next(i for i, w in enumerate(weights) if w is own) for own in kept] == expected
    assert student.config.num_hidden_layers == len(expected)


@pytest.mark.parametrize("take", [(1, 7), (2, 2)])
def test_layers_that_are_not_there_are_refused(tiny_bert, take):
    with pytest.raises(BadInput, match=r"take: .* of a model with layers 1 to 6"):
        keep_layers(tiny_bert(num_hidden_layers=6), None, take)


@pytest.mark.parametrize("share", ["attention", "ffn"])
def test_layers_that_share_a_part_in_groups_are_refused(share):
    model = compact_albert(share, layers=4, groups=2)
    with pytest.raises(BadInput, match="shares some of them in groups; name a `student`"):
        keep_layers(model, 2)
    assert len(encoders.stack(keep_layers(compact_albert(share, layers=4, groups=1), 2))) == 2


def test_layers_of_an_encoder_that_shares_them_in_groups_are_refused(tiny_bert):
    with pytest.raises(BadInput, match="shares some of them in groups; name a `student`"):
        keep_layers(share_layers(tiny_bert(num_hidden_layers=6), 2, "first"), 3)


def test_layers_of_an_encoder_that_shares_all_stay_one(tiny_bert, tmp_path):
    student = keep_layers(share_layers(tiny_bert(num_hidden_layers=6), 1, "first"), 3)
    loaded = checkpoint.load(checkpoint.save(student, tmp_path / "model"))
    assert len(encoders.stack(loaded)) == 3 and len(set(encoders.stack(loaded))) == 1


@pytest.mark.parametrize("name", ["kd", "patient-kd", "distilbert", "tinybert", "pea-kd"])
def test_a_named_student_is_taken_whole(name):
    method = registry.find(name)
    named = {"student": "x", **({"layer_map": [1, 2]} if name == "tinybert" else {})}
    assert method(**named).models() == ("x",)
    assert method().models() == ()
    again = method(**method(**named).model_dump(mode="json"))
    assert again == method(**named), "a worker gets every field written out"
    with pytest.raises(ValidationError, match="is taken whole; leave out layers"):
        method(**named, layers=2)
    with pytest.raises(ValidationError, match="take names 2 layers, and layers says 3"):
        method(take=[1, 2], layers=3)


def small_distilbert(**changes):
    shape = {
        "vocab_size": 50,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(0)
    return DistilBertForSequenceClassification(DistilBertConfig(**{**shape, **changes}))


@pytest.mark.parametrize(
    "method",
    [
        KnowledgeDistillation(student="released"),
        PatientKD(student="released"),
        DistilBERT(student="released"),
        TinyBERT(student="released", layer_map=(1, 4), inner_epochs=1),
    ],
    ids=lambda method: method.name,
)
def test_a_released_distilbert_learns_from_any_teacher(run, method):
    trial = with_model(with_states(run(layers=4), method), small_distilbert())
    student = method.compress(trial)
    assert type(student).__name__ == "DistilBertForSequenceClassification"
    assert predict(student, trial.choice).shape == (8, 2)


def test_tinyberts_released_layout_is_a_student(run, tmp_path):
    """vocab.txt alone, weights as a pickle, heads and `fit_dense` of its distillation, a search's leftovers."""
    folder = tmp_path / "TinyBERT"
    folder.mkdir()
    sizes = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(**sizes, intermediate_size=40, max_position_embeddings=64)
    released = BertForPreTraining(config)
    stored = dict(released.state_dict())
    stored |= {"fit_dense.weight": torch.ones(32, 24), "fit_dense.bias": torch.ones(32)}
    torch.save(stored, folder / "pytorch_model.bin")
    leftovers = {"cell": {}, "emb_size": 24, "structure": [], "pre_trained": "", "training": ""}
    described = {name: value for name, value in config.to_dict().items() if name != "architectures"}
    (folder / "config.json").write_text(json.dumps(described | leftovers))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    trial = run(layers=4)
    write_tokenizer(Path(trial.model.path))
    source = pretrained.resolve("TinyBERT", folder=tmp_path, offline=True)
    assert source.here and source.layers() == 2 and source.weight_bytes() > 0
    trial.models = {"TinyBERT": source}
    method = TinyBERT(student="TinyBERT", layer_map=(2, 4), inner_epochs=0.5, epochs=0.5)
    method.check_models(trial.model, trial.models)
    student = student_of(trial, method)
    for name, tensor in student.bert.state_dict().items():
        assert torch.equal(tensor, stored[f"bert.{name}"]), name
    trained = method.compress(with_states(trial, method))
    loaded = checkpoint.load(checkpoint.save(trained, tmp_path / "kept"))
    np.testing.assert_array_equal(predict(loaded, trial.choice), predict(trained, trial.choice))


def test_its_classifier_is_drawn_from_the_seed(run):
    trial = with_model(run(), small_distilbert())
    one, two = (student_of(trial, KnowledgeDistillation(student="released")) for _ in range(2))
    assert torch.equal(one.classifier.weight, two.classifier.weight)
    assert torch.equal(one.pre_classifier.weight, two.pre_classifier.weight)


def test_another_vocabulary_is_refused(run):
    trial = with_model(run(), small_distilbert(), vocabulary=[*VOCABULARY[:-1], "other"])
    with pytest.raises(BadInput, match="'released' and the sweep's model 'tiny' have different vocabularies"):
        student_of(trial, KnowledgeDistillation(student="released"))


@pytest.mark.parametrize("method", [PatientKD(student="released"), DistilBERT(student="released")])
def test_another_width_is_refused_where_states_are_compared(run, method):
    trial = with_model(with_states(run(layers=4), method), small_distilbert(dim=16))
    with pytest.raises(BadInput, match="hidden size is 16 and the teacher's 32"):
        method.compress(trial)


def test_tinybert_needs_as_many_layers_and_heads_as_its_map(run):
    deep = TinyBERT(student="released", layer_map=(1, 2, 4))
    with pytest.raises(BadInput, match="names 3 of the teacher's layers, but the student has 2"):
        deep.compress(with_model(with_states(run(layers=4), deep), small_distilbert()))
    heads = TinyBERT(student="released", layer_map=(1, 4))
    with pytest.raises(BadInput, match="2 attention heads, the teacher 4"):
        heads.compress(with_model(with_states(run(layers=4), heads), small_distilbert(n_heads=2)))
