"""Distillation: the student's shape and weights, the teacher's cached outputs, the rows they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from distilled import with_states
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from methods import checkpoint, encoders
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.live_teacher import LiveTeacher
from methods.distillation.losses import kd_loss, kd_training_loss, soft_targets
from methods.distillation.patient_kd import PatientKD
from methods.distillation.pea_kd import PeaKD
from methods.distillation.student import keep_layers
from methods.distillation.teacher_states import TeacherStates
from methods.inference import predict
from methods.sharing.shared_layers import SharedLayers
from tasks.batches import collate
from tasks.errors import BadInput

BERT_LIKE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
ARCHITECTURES = {
    "bert": (BertForSequenceClassification, BertConfig(**BERT_LIKE)),
    "roberta": (RobertaForSequenceClassification, RobertaConfig(**BERT_LIKE)),
    "electra": (ElectraForSequenceClassification, ElectraConfig(**BERT_LIKE, embedding_size=16)),
    "distilbert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(
            vocab_size=50, dim=32, n_layers=4, n_heads=4, hidden_dim=64, max_position_embeddings=64
        ),
    ),
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_student_has_the_first_layers_of_any_architecture(kind, tmp_path):
    make, config = ARCHITECTURES[kind]
    model = make(config).eval()
    ids = torch.arange(2, 12)[None]
    with torch.no_grad():
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
    student = keep_layers(model, 3)
    assert len(encoders.stack(student)) == student.config.num_hidden_layers == 3
    with torch.no_grad():
        output = student(input_ids=ids, output_hidden_states=True)
    torch.testing.assert_close(output.hidden_states[-1], hidden[3])
    again = checkpoint.load(checkpoint.save(student, tmp_path / kind))
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=ids).logits, output.logits)


def test_half_is_the_default_and_too_many_layers_are_refused(tiny_bert):
    assert len(encoders.stack(keep_layers(tiny_bert(num_hidden_layers=5), None))) == 2
    assert len(encoders.stack(keep_layers(tiny_bert(num_hidden_layers=1), None))) == 1
    with pytest.raises(BadInput, match="3 asked for, but the model has 2"):
        keep_layers(tiny_bert(), 3)


def test_heads_pruned_before_stay_pruned(tiny_bert, tmp_path):
    from methods.pruning.surgery import prune_heads

    model = tiny_bert(num_hidden_layers=3)
    prune_heads(model, {0: {1}, 2: {0, 3}})
    student = keep_layers(model, 2)
    assert encoders.kept_heads(student) == [[0, 2, 3], [0, 1, 2, 3]]
    checkpoint.load(checkpoint.save(student, tmp_path / "student"))


def test_teacher_outputs_are_the_start_models_fp32_logits_row_by_row(run):
    trial = run()
    cached = trial.teacher_logits()
    assert cached.dtype == np.float32
    np.testing.assert_array_equal(cached, predict(trial.start(), trial.train))


def test_loss_looks_teacher_logits_up_by_position(run):
    trial = run()
    model = trial.start()
    positions = np.array([5, 30, 2])
    batch = collate(trial.train, positions)
    teacher = torch.tensor(np.array(trial.teacher_logits()[positions]))
    loss = kd_training_loss(trial, temperature=5, alpha=0.7)(model, batch)
    expected = kd_loss(model(**batch.inputs).logits, teacher, batch.labels, temperature=5, alpha=0.7)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-7)
    soft = kd_training_loss(trial, temperature=5, alpha=1.0)(model, batch)
    assert soft.item() == pytest.approx(0, abs=1e-6), "the start model agrees with its own cached outputs"


def test_its_fields_reach_the_loss(run, monkeypatch):
    trial = run(layers=4)
    seen = {}
    monkeypatch.setattr(trial, "fit", lambda model, loss, training: seen.update(model=model, loss=loss))
    KnowledgeDistillation(temperature=4, alpha=0.3).compress(trial)
    model = seen["model"].eval()
    positions = np.array([5, 30, 2])
    batch = collate(trial.train, positions)
    teacher = torch.tensor(np.array(trial.teacher_logits()[positions]))
    expected = kd_loss(model(**batch.inputs).logits, teacher, batch.labels, temperature=4, alpha=0.3)
    assert seen["loss"](model, batch).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    "method",
    [
        KnowledgeDistillation(temperature=4),
        PatientKD(temperature=4, layers=2, beta=7),
        PatientKD(temperature=4, beta=0),
        PeaKD(temperature=4, layers=2, ptp=False),
        SharedLayers(temperature=4, groups=2),
    ],
    ids=lambda method: method.label,
)
def test_the_reduction_of_pkds_code_halves_the_teachers_term_of_every_method(run, monkeypatch, method):
    trial = with_states(run(layers=4), method)
    positions = np.array([5, 30, 2])
    batch = collate(trial.train, positions)
    found = {}
    for reduction in ("batchmean", "mean"):
        monkeypatch.setattr(trial, "fit", lambda model, loss, **_: found.update(model=model, loss=loss))
        method.model_copy(update={"reduction": reduction}).compress(trial)
        found[reduction] = found["loss"](found["model"].eval(), batch).item()
    logits = found["model"](**batch.inputs).logits
    taught = torch.tensor(np.array(trial.teacher_logits()[positions]))
    teachers = method.alpha * soft_targets(logits, taught, 4).item()
    assert found["batchmean"] - found["mean"] == pytest.approx(teachers / 2, rel=1e-3)
    assert method.deciding() == method.model_copy(update={"reduction": "batchmean"}).deciding()
    assert "reduction" not in method.deciding(), "records made before it was there stay valid"


def test_a_teacher_beside_its_student_gets_no_gradient_and_no_dropout(run):
    trial = run()
    live = LiveTeacher(trial, TeacherStates(cls=True))
    student = trial.start()
    batch = collate(trial.train, np.arange(4))
    taught = live.logits(batch)
    kd_loss(student(**batch.inputs).logits * 2, taught, batch.labels, temperature=5, alpha=1.0).backward()
    assert not taught.requires_grad
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
    assert not any(p.requires_grad and p.grad is not None for p in live._model.parameters())
    assert not live._model.training
    assert all(not states.requires_grad for states in live.states(batch).values())


def test_student_comes_from_pretrained_or_finetuned_weights(run, monkeypatch):
    seen = {}
    for init, source in {"pretrained": "pretrained", "finetuned": "start"}.items():
        trial = run(layers=4)
        monkeypatch.setattr(trial, "fit", lambda model, loss, training: None)
        student = KnowledgeDistillation(layers=3, init=init).compress(trial)
        origin = getattr(trial, source)()
        assert len(encoders.stack(student)) == 3
        for name, tensor in student.state_dict().items():
            assert torch.equal(tensor, origin.state_dict()[name]), name
        seen[init] = student.classifier.weight
    assert not torch.equal(seen["pretrained"], seen["finetuned"])


def test_distillation_brings_the_student_nearer_to_the_teacher(run):
    trial = run(layers=4)
    teacher = trial.teacher_logits()
    config = Path(trial.model.path) / "config.json"
    calm = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    config.write_text(json.dumps(json.loads(config.read_text()) | calm))

    def distance(student):
        return float(np.abs(predict(student, trial.train) - teacher).mean())

    untrained = distance(keep_layers(trial.pretrained(), 2))
    student = KnowledgeDistillation(alpha=1.0, epochs=30, learning_rate=3e-3).compress(trial)
    assert distance(student) < 0.7 * untrained
    assert trial.cost.steps == 120


def test_without_a_teacher_its_outputs_are_not_read(run):
    trial = run()
    trial.results = {}
    KnowledgeDistillation(alpha=0, layers=1).compress(trial)
    assert trial.cost.steps == 4


def test_alpha_zero_is_plain_fine_tuning_to_the_bit(run):
    plain = keep_layers(run(layers=4).pretrained(), 2)
    run(layers=4).fit(plain)
    student = KnowledgeDistillation(alpha=0).compress(run(layers=4))
    for one, other in zip(student.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
