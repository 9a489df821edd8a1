"""Pea-KD: labels of PTP, its throw-away head, its ablations and its control."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from distilled import with_states
from pydantic import ValidationError
from tiny_encoders import STACKS, encoder, examples
from torch.nn import functional as F

from methods import checkpoint, encoders
from methods.distillation import ptp
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.patient_kd import PatientKD
from methods.distillation.pea_kd import PeaKD
from methods.distillation.ptp import pretrain, teacher_labels
from methods.distillation.student import student_of
from methods.distillation.teacher_states import TeacherStates
from tasks.batches import collate
from tasks.errors import BadInput

PLAIN = {"layers": 2, "t": 0.9}


def logits_of(probabilities):
    p = np.array(probabilities, dtype=np.float64)
    return np.log(np.stack([1 - p, p], axis=1))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_four_labels_by_correctness_and_confidence():
    logits = logits_of([0.99, 0.6, 0.99, 0.6, 0.01, 0.4])
    gold = np.array([1, 1, 0, 0, 0, 1])
    assert teacher_labels(logits, gold, 0.9, 0.9).tolist() == [0, 1, 2, 3, 0, 3]
    assert teacher_labels(logits, gold, 0.9, 0.5).tolist() == [0, 1, 2, 2, 0, 2]


def test_confidence_at_the_threshold_is_unsure():
    logits = np.array([[0.0, 0.0]])  # Confidence is exactly a half.
    assert teacher_labels(logits, np.array([0]), 0.5, 0.5).tolist() == [1]
    assert teacher_labels(logits, np.array([1]), 0.5, 0.5).tolist() == [3]
    assert teacher_labels(logits, np.array([1]), 0.5, 0.49).tolist() == [2]


def test_labels_partition_the_examples_and_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    logits, gold = rng.normal(size=(200, 3)) * 2, rng.integers(3, size=200)
    labels = teacher_labels(logits, gold, 0.8, 0.6)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    right, sure = logits.argmax(1) == gold, np.exp(logits).max(1) / np.exp(logits).sum(1)
    for label, members in enumerate(
        [right & (sure > 0.8), right & (sure <= 0.8), ~right & (sure > 0.6), ~right & (sure <= 0.6)]
    ):
        assert np.array_equal(labels == label, members)
    order = rng.permutation(200)
    assert np.array_equal(teacher_labels(logits[order], gold[order], 0.8, 0.6), labels[order])


def test_large_logits_do_not_overflow():
    assert teacher_labels(np.array([[1e4, 0.0]], dtype=np.float32), np.array([0]), 0.9, 0.9).tolist() == [0]


@pytest.mark.parametrize(
    ("task", "fields", "expected"),
    [
        ("rte", {}, (0.80, 0.80)),
        ("mrpc", {}, (0.95, 0.95)),
        ("mrpc", {"preset": "code"}, (0.95, 0.75)),
        ("sst2", {"preset": "code"}, (0.98, 0.80)),
        ("qnli", {"preset": "code"}, (0.98, 0.70)),
        ("cola", {"preset": "code"}, (0.95, 0.70)),
        ("mrpc", {"t": 0.7}, (0.7, 0.7)),
        ("mrpc", {"t_wrong": 0.6}, (0.95, 0.6)),
        ("mine", {"t": 0.7, "preset": "code"}, (0.7, 0.7)),
    ],
)
def test_thresholds_are_the_tasks_or_the_users(task, fields, expected):
    assert PeaKD(**fields).thresholds(task) == expected


def test_a_task_without_thresholds_needs_some():
    with pytest.raises(BadInput, match="no thresholds for mine; give one"):
        PeaKD().thresholds("mine")


@pytest.mark.parametrize(
    "fields", [{"t": 0}, {"t": 1}, {"t_wrong": 1.2}, {"shuffle": "all"}, {"objective": "kd", "beta": 5}]
)
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        PeaKD(**fields)


def test_labels_come_from_train_alone(run, monkeypatch):
    """The other parts cannot be read at all, and every example of train has its label."""
    method = PeaKD(**PLAIN, t_wrong=0.52)
    trial = with_states(run(layers=4), method)
    trial.reward = trial.choice = None
    seen = {}
    real = ptp.pretrain
    monkeypatch.setattr(ptp, "pretrain", lambda *given: seen.setdefault("labels", given[2]) is real(*given))
    method.compress(trial)
    expected = teacher_labels(trial.teacher_logits(), trial.train.labels, 0.9, 0.52)
    assert np.array_equal(seen["labels"], expected)
    assert not np.array_equal(expected, teacher_labels(trial.teacher_logits(), trial.train.labels, 0.52, 0.9))
    counts = trial.notes["ptp_counts"]
    assert list(counts.values()) == np.bincount(expected, minlength=4).tolist()
    assert sum(counts.values()) == len(trial.train) == 32
    assert trial.notes["ptp_thresholds"] == {"right": 0.9, "wrong": 0.52}
    assert trial.notes["effective_layers"] == 4


def test_every_example_of_a_batch_is_told_by_its_own_label(run):
    trial = run()
    model = trial.start()
    labels = torch.arange(32) % 4
    model.classifier = torch.nn.Linear(32, 4)
    positions = np.array([5, 30, 2])
    batch = collate(trial.train, positions)
    expected = F.cross_entropy(model(**batch.inputs).logits, torch.tensor([1, 2, 2]))
    assert ptp._four_way_loss(labels)(model, batch).item() == pytest.approx(expected.item(), rel=1e-6)


def watched(trial, method):
    """Run a method; of each training the student's layers run, its settings and its batches' examples."""
    seen = []
    fit = trial.fit

    def watch(model, loss, training, **options):
        batches = []

        def look(model, batch):
            batches.append(batch.positions.tolist())
            return loss(model, batch)

        with torch.no_grad():
            states = model(torch.arange(2, 8)[None], output_hidden_states=True).hidden_states
        seen.append((len(states) - 1, training, batches))
        return fit(model, look, training=training, **options)

    trial.fit = watch
    method.compress(trial)
    return seen


def test_ptp_trains_the_shared_student_at_its_own_rate_before_distillation(run):
    method = PeaKD(**PLAIN, ptp_epochs=2, ptp_learning_rate=3e-4, epochs=1, learning_rate=5e-4)
    pretraining, distilling = watched(with_states(run(layers=4), method), method)
    assert (pretraining[0], distilling[0]) == (4, 4), "both passes of the two stored layers"
    assert (pretraining[1].epochs, pretraining[1].learning_rate) == (2, 3e-4)
    assert (distilling[1].epochs, distilling[1].learning_rate) == (1, 5e-4)


def test_distillation_sees_the_same_batches_with_ptp_and_without(run):
    found = []
    for fields in ({}, {"ptp": False}, {"ptp_labels": "random"}):
        method = PeaKD(**PLAIN, **fields)
        found.append(watched(with_states(run(layers=4), method), method))
    batches = [fits[-1][2] for fits in found]
    assert batches[0] == batches[1] == batches[2]
    assert found[0][0][2][:4] != batches[0], "PTP has an order of its own"


@pytest.mark.parametrize(
    ("shuffle", "exchanges"),
    [
        ("none", [False, False, False, False]),
        ("upper", [False, False, True, True]),
        ("lower", [True, True, False, False]),
        ("both", [True, True, True, True]),
    ],
)
def test_the_asked_passes_are_exchanged(run, shuffle, exchanges):
    method = PeaKD(layers=2, ptp=False, shuffle=shuffle)
    student = method.compress(with_states(run(layers=4), method))
    assert student.config.layer_order == [0, 1, 0, 1]
    assert student.config.layer_exchanges == exchanges


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0] * 80 + [1] * 19 + [3], "wrong on 1.0 %"),
        ([1] * 90 + [3] * 10, "sure on 0.0 %"),
        ([0] * 90 + [2] * 10, "unsure on 0.0 %"),
        ([0, 1, 2, 3], None),
    ],
)
def test_two_labels_that_are_almost_empty_are_said(run, caplog, labels, said):
    trial = run()
    ptp.note_counts(trial, np.array(labels))
    assert trial.notes["ptp_skewed"] == bool(said)
    assert (f"the teacher is {said}" in caplog.text) if said else not caplog.text


def test_the_four_way_head_is_thrown_away_and_the_encoder_kept(run, tiny_bert):
    trial = run(layers=4)
    student = student_of(trial, PeaKD(layers=2))
    head = student.classifier
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    seen = []
    fit = trial.fit

    def watch(model, loss, **options):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        fitted = fit(model, loss, **options)
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return fitted

    trial.fit = watch
    pretrain(trial, student, np.arange(32) % 4, trial.training)
    started, ended = seen
    assert started["classifier.weight"].shape == (4, 32)
    assert student.classifier is head
    for name, tensor in student.state_dict().items():
        if name.startswith("classifier"):
            assert torch.equal(tensor, before[name]), "the task's head has learnt nothing"
        else:
            assert torch.equal(started[name], before[name]), "the new head changes no bit of the encoder"
            assert torch.equal(tensor, ended[name]), "nor does taking it off"
    assert not torch.equal(ended["bert.pooler.dense.weight"], before["bert.pooler.dense.weight"])


@pytest.mark.parametrize("kind", STACKS)
def test_of_every_encoder_the_whole_head_comes_back(run, kind):
    trial = run()
    student = encoder(kind)
    trial.train = examples(student, 32)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    pretrain(trial, student, np.arange(32) % 4, trial.training)
    changed = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(f"{student.base_model_prefix}.") for name in changed)


def test_the_control_trains_as_long_on_other_labels(run):
    costs, models = [], []
    for labels in ("teacher", "random"):
        method = PeaKD(**PLAIN, ptp_labels=labels)
        trial = with_states(run(layers=4), method)
        models.append(method.compress(trial))
        costs.append(trial.cost)
    assert costs[0] == costs[1]
    assert costs[0].steps == 4 * 4 + 4
    assert not same(*models)
    drawn = ptp.random_labels(4000, seed=1)
    assert np.bincount(drawn).min() > 900
    assert np.array_equal(drawn, ptp.random_labels(4000, seed=1))


@pytest.mark.parametrize(
    ("fields", "other"),
    [
        ({"sps": False, "ptp": False}, PatientKD(layers=2, alpha=0.7)),
        ({"sps": False, "ptp": False, "objective": "kd"}, KnowledgeDistillation(layers=2, alpha=0.7)),
        ({"sps": False, "ptp": False, "beta": 0}, KnowledgeDistillation(layers=2, alpha=0.7)),
        ({"sps": False, "ptp": False, "beta": 0, "alpha": 0}, KnowledgeDistillation(layers=2, alpha=0)),
    ],
)
def test_without_its_parts_it_is_the_method_it_builds_on(run, fields, other):
    method = PeaKD(layers=2, **fields)
    one = method.compress(with_states(run(layers=4), method))
    assert same(one, other.compress(with_states(run(layers=4), other)))


@pytest.mark.parametrize("fields", [{}, {"shuffle": "none", "ptp": False}, {"ptp": False}, {"sps": False}])
def test_ablations_have_the_parameters_of_k_layers_and_can_be_kept(run, fields, tmp_path):
    method = PeaKD(**PLAIN, **fields)
    trial = with_states(run(layers=4), method)
    student = method.compress(trial)
    plain = student_of(trial, method)
    assert encoders.parameters(student) == encoders.parameters(plain)
    assert list(student.state_dict()) == list(plain.state_dict())
    loaded = checkpoint.load(checkpoint.save(student, tmp_path / "model"))
    assert (
        encoders.applications(loaded)
        == trial.notes["effective_layers"]
        == (2 if fields == {"sps": False} else 4)
    )


@pytest.mark.parametrize(("layers", "taught"), [(3, [1, 2, 3, 4, 5]), (2, [2, 3, 5])])
def test_every_application_but_the_last_is_patient(run, layers, taught):
    """Slots are those of the layers that run, 6 and 4 of a teacher of 6, not of those that are stored."""
    method = PeaKD(layers=layers, ptp=False, alpha=0, beta=7, normalise=False)
    trial = with_states(run(layers=6), method)
    losses = []
    fit = trial.fit
    trial.fit = lambda model, loss, **options: losses.append((model, loss)) or fit(model, loss, **options)
    method.compress(trial)
    assert trial.notes["teacher_layers"] == taught
    ((student, loss),) = losses
    batch = collate(trial.train, np.array([5, 30, 2]))
    output = student(**batch.inputs, output_hidden_states=True)
    assert len(output.hidden_states) == 2 * layers + 1
    own = torch.stack([state[:, 0] for state in output.hidden_states[1:-1]], dim=1)
    theirs = trial.teacher_states().read("cls", batch.positions)[:, [layer - 1 for layer in taught]]
    hard = torch.nn.functional.cross_entropy(output.logits, batch.labels)
    expected = hard + 7 * (own - theirs).square().mean()
    assert loss(student, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_what_is_used_is_a_prerequisite():
    states = TeacherStates(cls=True)
    assert PeaKD().prerequisites() == ("teacher-outputs", states)
    assert PeaKD(objective="kd").prerequisites() == ("teacher-outputs",)
    assert PeaKD(objective="kd", alpha=0).prerequisites() == ("teacher-outputs",)
    assert PeaKD(objective="kd", alpha=0, ptp_labels="random").prerequisites() == ()
    assert PeaKD(objective="kd", alpha=0, ptp=False).prerequisites() == ()
    assert PeaKD(init="finetuned").prerequisites() == ("finetune", "teacher-outputs", states)
