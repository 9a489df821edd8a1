"""MobileBERT in the grid: taught by a teacher of the sweep, or read from a released checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from bottleneck_berts import SHAPE, inputs
from pydantic import ValidationError
from tiny_corpus import VOCABULARY, access, sweep_run
from transformers import MobileBertConfig, MobileBertForPreTraining

from methods import checkpoint, pretrained
from methods.compact.mobilebert import stored
from methods.compact.mobilebert.ib_bert_teacher import IbBertTeacher
from methods.compact.mobilebert.mobilebert import MobileBert
from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.fit import fit
from methods.pretrained import Source
from tasks.errors import BadInput
from tasks.tokens import tokenizer

TEXT = {"vocabulary": VOCABULARY, "length": 32, "batch_size": 8, "steps": 14}
TEACHER = {**TEXT, "layers": 2, "hidden": 32, "inner": 48, "embedding": 16}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A teacher and its student, each in the folder of its work, and the student's run."""
    folder = tmp_path_factory.mktemp("pair")
    work = MobileBertTransfer.model_validate({**TEXT, "teacher": TEACHER, "inner": 16, "ffns": 2})
    corpus, results = access(folder), {}
    for one in (*work.prerequisites(), work):
        (folder / one.name / "result").mkdir(parents=True)
        run = sweep_run(corpus, folder / one.name, results=dict(results))
        one.produce(run, folder / one.name / "result")
        results[one.name] = folder / one.name / "result"
    return results, run


def test_a_teacher_and_its_student_are_made_from_the_corpus(made):
    results, run = made
    mine, their = (stored.load(results[name]) for name in ("mobilebert-transfer", "ib-bert-teacher"))
    assert (mine.config.true_hidden_size, their.config.true_hidden_size) == (16, 48)
    assert mine.config.normalization_type == "no_norm"
    assert mine.config.zero_padding
    transferred = run.notes["transfer"]
    assert [phase["phase"] for phase in transferred["phases"]] == ["layer-1", "layer-2", "words"]
    assert sum(phase["steps"] for phase in transferred["phases"]) == run.cost.steps == 14
    assert {"mlm_accuracy", "pair_accuracy"} <= transferred["held_out"]["student"].keys()
    summary = json.loads((results["mobilebert-transfer"] / "summary.json").read_text())
    assert (summary["strategy"], summary["steps"]) == ("pkt", 14)
    assert summary["phases"] == {"layer-1": 2, "layer-2": 2, "words": 10}
    assert (summary["shape"]["inner"], summary["shape"]["ffns"], summary["shape"]["hidden"]) == (16, 2, 32)
    assert summary["tokens"] == run.cost.tokens > 0
    assert summary["unigram_entropy"] > 0
    assert summary["held_out"] == transferred["held_out"]
    assert (results["mobilebert-transfer"] / "model" / "tokenizer.json").is_file()


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_student_reads_with_its_teachers_vocabulary_wherever_it_is_taught(kind, tmp_path):
    """Other libraries may train another vocabulary: here the student's own has nearly all words renumbered."""
    teacher = {**TEACHER, "tokenizer": kind}
    work = MobileBertTransfer.model_validate({**TEXT, "tokenizer": kind, "inner": 16, "teacher": teacher})
    for name in ("teacher", "student"):
        (tmp_path / name).mkdir()
    here = access(tmp_path)
    work.teacher.produce(sweep_run(here, tmp_path / "first"), tmp_path / "teacher")
    elsewhere = replace(here, cache=tmp_path / "other-cache")
    file = elsewhere.vocabulary(kind, VOCABULARY) / "tokenizer.json"
    other = json.loads(file.read_text())
    words = other["model"]["vocab"]
    if kind == "unigram":
        words[10:] = words[:9:-1]
    else:
        other["model"]["vocab"] = {word: n if n < 10 else VOCABULARY + 9 - n for word, n in words.items()}
    file.write_text(json.dumps(other))
    run = sweep_run(elsewhere, tmp_path / "second", results={"ib-bert-teacher": tmp_path / "teacher"})
    work.produce(run, tmp_path / "student")
    folders = (tmp_path / "teacher" / "model", tmp_path / "student" / "model", file.parent)
    theirs, ours, local = (tokenizer(str(folder), None).backend.get_vocab() for folder in folders)
    assert ours == theirs
    assert local != theirs


@pytest.mark.parametrize("start", ["pair", "teacher"])
def test_either_of_the_pair_is_fine_tuned(start, made, run):
    results, _ = made
    method = MobileBert(start=start, epochs=1)
    trial = run()
    trial.results = results
    trial.model = Source("pair", None, str(results[method.encoder()] / "model"))
    model = method.compress(trial)
    assert type(model).__name__ == "BottleneckBertForSequenceClassification"
    assert trial.cost.steps == 4
    assert trial.notes["pretraining"]
    assert model.config.label2id == {"no": 0, "yes": 1}
    encoder = checkpoint.load(results[method.encoder()] / "model")
    before = pretrained.classifier(trial.model, trial.task, seed=trial.seeds.init).base_model
    assert all(
        torch.equal(tensor, before.state_dict()[name]) for name, tensor in encoder.state_dict().items()
    )
    assert not torch.equal(
        model.base_model.embeddings.word_embeddings.weight, encoder.embeddings.word_embeddings.weight
    )


def test_its_settings_are_those_the_checkpoint_needs(run, monkeypatch):
    seen = []
    monkeypatch.setattr("methods.run.fit", lambda *a, **k: seen.append(a[2]) or fit(*a, **k))
    trial = released(run)
    trial.training = trial.training.override(precision="bf16", warmup=0.0)
    MobileBert().compress(trial)
    (training,) = seen
    assert (training.epochs, training.learning_rate, training.warmup) == (5, 5e-5, 0.1)
    assert training.precision == trial.fitted_in == "fp32"
    assert training.batch_size == trial.training.batch_size


def released(run):
    """A run whose encoder is a checkpoint of transformers' MobileBERT."""
    trial = run()
    folder = trial.folder.parent / "released"
    torch.manual_seed(0)
    shape = {name: value for name, value in SHAPE.items() if name != "num_hidden_layers"}
    config = MobileBertConfig(**shape, num_hidden_layers=2, classifier_activation=False)
    MobileBertForPreTraining(config).save_pretrained(folder)
    trial.model = Source("released", None, str(folder))
    return trial


def test_a_released_checkpoint_becomes_ours_and_does_not_mind_its_batch(run):
    trial = released(run)
    model = trial.pretrained()
    assert type(model).__name__ == "BottleneckBertForSequenceClassification"
    assert not model.config.zero_padding
    assert model.mobilebert.pooler is None
    theirs = MobileBertForPreTraining.from_pretrained(trial.model.path).state_dict()
    for name, tensor in model.mobilebert.state_dict().items():
        assert torch.equal(tensor, theirs[f"mobilebert.{name}"])
    with torch.no_grad():
        alone, together = (model(**inputs(lengths)).logits[0] for lengths in ((7,), (7, 12)))
    assert torch.allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 1}, "weights and configuration belong to two models"),
        ({"num_hidden_layers": 3}, "no weights for"),
        ({"intermediate_size": 20}, "weights and configuration belong to two models"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(changes, message, run):
    trial = released(run)
    config = trial.folder.parent / "released" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    with pytest.raises(BadInput, match=message):
        trial.pretrained()


def test_another_kind_of_encoder_is_refused(run):
    with pytest.raises(BadInput, match="is a 'bert' model, not a MobileBERT"):
        MobileBert().compress(run())


def test_what_is_needed_depends_on_where_it_starts():
    pair = MobileBertTransfer.model_validate({"strategy": "akt", "teacher": {"layers": 6}})
    assert MobileBert().prerequisites() == ()
    assert MobileBert().encoder() == "google/mobilebert-uncased"
    method = MobileBert(start="pair", pair=pair)
    assert method.prerequisites() == (pair,)
    assert method.label == "mobilebert:start=pair,pair.strategy=akt,pair.teacher.layers=6"
    assert pair.prerequisites() == (IbBertTeacher(layers=6),)
    assert MobileBert(start="teacher", pair=pair).encoder() == "ib-bert-teacher"


@pytest.mark.parametrize(
    ("work", "fields", "message"),
    [
        (IbBertTeacher, {"inner": 30}, "not divisible by 4 heads"),
        (IbBertTeacher, {"embedding": 256}, "more than hidden"),
        (IbBertTeacher, {"length": 1000}, "at most 512"),
        (MobileBertTransfer, {"inner": 18}, "not divisible by the 4 heads"),
        (MobileBertTransfer, {"vocabulary": 4000}, "not the teacher's, 8000"),
        (MobileBertTransfer, {"attention": False, "feature_maps": "none"}, "say strategy: none"),
        (MobileBertTransfer, {"length": 128}, "more than the teacher's, 64"),
        (MobileBertTransfer, {"warmup": 0.3}, "a schedule of their own"),
        (MobileBertTransfer, {"alpha": 1.5}, "less than or equal to 1"),
    ],
)
def test_fields_that_cannot_be_are_refused(work, fields, message):
    with pytest.raises(ValidationError, match=message):
        work(**fields)


def test_too_few_steps_for_the_layers_are_refused_before_a_teacher_is_trained():
    with pytest.raises(ValidationError, match="less than two for each of 4 layers"):
        MobileBertTransfer(steps=20)
    MobileBertTransfer(steps=25)
    MobileBertTransfer(steps=20, strategy="akt")
    with pytest.raises(ValidationError, match="less than two for each of 24 layers"):
        MobileBertTransfer(tokens=1_000_000, teacher={"layers": 24})
