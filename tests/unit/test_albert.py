"""The method: which encoder it names, what it fine-tunes, and the paper's settings."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from test_albert_model import model
from tiny_encoders import encoder

from methods import checkpoint
from methods.pretrained import Source
from methods.pretraining.encoder import PretrainedEncoder
from methods.sharing.albert.albert import PAPER, Albert
from tasks.errors import BadInput


def with_encoder(trial, folder):
    """The trial as the engine hands it over once the pre-training is done."""
    checkpoint.save(model(), folder / "model")
    (folder / "summary.json").write_text(json.dumps({"steps": 3}))
    trial.results = {"pretrained-encoder": folder}
    trial.model = Source("pretrained-encoder", None, str(folder / "model"))
    return trial


def test_it_needs_its_pretraining_or_names_a_checkpoint():
    own = Albert(pretrained=PretrainedEncoder(share="none"))
    assert own.prerequisites() == (PretrainedEncoder(share="none"),)
    assert own.encoder() == "pretrained-encoder"
    assert own.label == "albert:pretrained.share=none"
    released = Albert(pretrained="albert/albert-base-v2")
    assert (released.prerequisites(), released.encoder()) == ((), "albert/albert-base-v2")
    assert released.models() == ("albert/albert-base-v2",) and own.models() == ()
    assert Albert().label == "albert"
    assert Albert(**own.model_dump(mode="json")) == own


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"warm_start": True, "preset": "paper"},
            "preset: paper sets hidden, tokenizer, vocabulary, which warm_start takes from the sweep's encoder",
        ),
        (
            {"warm_start": True, "preset": "paper", "hidden": 128, "vocabulary": 8000},
            "preset: paper sets hidden, tokenizer, vocabulary, which .*; leave out one of the two",
        ),
        ({"warm_start": True, "ffn": 64}, "warm_start takes ffn from"),
        ({"warm_start": True, "preset": "smoke", "heads": 4}, "warm_start takes heads from"),
        ({"share": "none", "groups": 2}, "groups: 2 changes nothing with share: none.*; leave it out"),
    ],
)
def test_fields_that_would_be_ignored_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        PretrainedEncoder(**fields)
    with pytest.raises(ValidationError, match=message):
        Albert(pretrained=fields)


def test_fields_that_go_together_are_taken():
    assert PretrainedEncoder(warm_start=True, preset="smoke").tokens == 2_000_000
    assert PretrainedEncoder(preset="paper").hidden == 768
    assert PretrainedEncoder(share="none", groups=1) == PretrainedEncoder(share="none")
    assert PretrainedEncoder(share="ffn", groups=2).groups == 2


def test_it_fine_tunes_the_encoder_and_keeps_what_is_known_of_it(run, tmp_path):
    trial = with_encoder(run(), tmp_path / "encoder")
    tuned = Albert(epochs=2, batch_size=16).compress(trial)
    assert trial.cost.steps == 4
    assert trial.notes["pretraining"] == {"steps": 3}
    stack = tuned.bert.encoder.layer
    assert stack[0] is stack[3]
    before = checkpoint.load(tmp_path / "encoder" / "model")
    assert not torch.equal(stack[0].output.dense.weight, before.encoder.layer[0].output.dense.weight)


def test_the_paper_s_settings_are_those_of_the_task(run, tmp_path, monkeypatch):
    trial = with_encoder(run(), tmp_path / "encoder")
    trial.task = trial.task.model_copy(update={"name": "rte"})
    asked = {}
    monkeypatch.setattr(trial, "fit", lambda model, **named: asked.update(named, model=model))
    Albert(preset="paper").compress(trial)
    training = asked["training"]
    assert (asked["steps"], training.learning_rate, training.batch_size) == (800, 3e-5, 32)
    from methods.fit import linear

    assert linear(199, 800, training.warmup) < 1 and linear(200, 800, training.warmup) == 1
    assert asked["model"].config.hidden_dropout_prob == 0.1
    assert asked["model"].bert.encoder.layer[0].output.dropout.p == 0.1
    Albert(preset="paper", learning_rate=1e-4).compress(trial)
    assert asked["training"].learning_rate == 1e-4
    trial.task = trial.task.model_copy(update={"name": "other"})
    with pytest.raises(BadInput, match="no settings for other"):
        Albert(preset="paper").check(trial.task, None)


def test_the_paper_s_settings_are_those_of_its_code():
    """Warm-up steps, rate, steps, batch size and the encoder's dropout of `run_glue.sh`."""
    assert {task: tuple(settings) for task, settings in PAPER.items()} == {
        "cola": (320, 1e-5, 5336, 16, 0.0),
        "sst2": (1256, 1e-5, 20935, 32, 0.0),
        "mrpc": (200, 2e-5, 800, 32, 0.0),
        "qnli": (1986, 1e-5, 33112, 32, 0.0),
        "rte": (200, 3e-5, 800, 32, 0.1),
        "mnli": (1000, 3e-5, 10000, 128, 0.0),
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 5}, "layers: 5 asked for, but 'tiny' has 2"),
        ({"layers": 2, "length": 512}, r"length: 512 asked for, but 'tiny' has \d+"),
        ({"layers": 2, "length": 16, "embedding": 64}, "embedding: 64 asked for, but 'tiny' has 32"),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused_when_it_is_planned(run, fields, message):
    method = Albert(pretrained={"warm_start": True, **fields})
    with pytest.raises(BadInput, match=message):
        method.check_models(run().model, {})


def test_a_warm_start_from_another_kind_is_refused(tmp_path):
    encoder("distilbert").save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="needs a BERT, and 'other' is a 'distilbert'"):
        Albert(pretrained={"warm_start": True}).check_models(Source("other", None, str(tmp_path)), {})
