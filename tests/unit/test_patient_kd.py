"""Patience: directions of [CLS] states, paired layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from distilled import with_states
from torch.nn import functional as F

from methods import encoders
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.losses import kd_loss
from methods.distillation.patience import patience
from methods.distillation.patient_kd import PatientKD
from methods.distillation.student import student_of
from methods.distillation.teacher_states import TeacherStates
from tasks.batches import collate
from tasks.errors import BadInput


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 2, 8, generator=generator), torch.randn(6, 2, 8, generator=generator)


def test_equal_directions_cost_nothing_and_length_does_not_count(states):
    student, teacher = states
    assert patience(student, 3 * student, normalise=True).item() == pytest.approx(0, abs=1e-12)
    scaled = patience(5 * student, 0.1 * teacher, normalise=True)
    assert scaled.item() == pytest.approx(patience(student, teacher, normalise=True).item(), rel=1e-5)
    assert patience(student, 3 * student, normalise=False).item() > 1


def test_it_is_the_mean_over_examples_slots_and_dimensions(states):
    student, teacher = states
    distance = (F.normalize(student, dim=-1) - F.normalize(teacher, dim=-1)).square().sum() / (6 * 2 * 8)
    assert patience(student, teacher, normalise=True).item() == pytest.approx(distance.item(), rel=1e-5)


def test_the_sum_of_the_papers_equation_is_as_many_times_more(states):
    student, teacher = states
    distance = (F.normalize(student, dim=-1) - F.normalize(teacher, dim=-1)).square().sum()
    summed = patience(student, teacher, normalise=True, reduction="sum")
    assert summed.item() == pytest.approx(distance.item(), rel=1e-5)
    mean = patience(student, teacher, normalise=True).item()
    assert summed.item() == pytest.approx(6 * 2 * 8 * mean, rel=1e-5)


def test_the_sum_reaches_the_loss(run):
    found = {}
    for reduction in ("mean", "sum"):
        method = PatientKD(layers=3, beta=7, patience_reduction=reduction)
        trial = with_states(run(layers=6), method)
        student, batch = student_of(trial, method), collate(trial.train, np.array([5, 30, 2]))
        found[reduction] = method.loss(trial, student)(student, batch).item()
    plain = KnowledgeDistillation(layers=3).loss(trial, student)(student, batch).item()
    # Three examples, two layers, 32 dimensions.
    assert found["sum"] - plain == pytest.approx(3 * 2 * 32 * (found["mean"] - plain), rel=1e-3)
    assert "patience_reduction" not in PatientKD().deciding()
    assert method.label == "patient-kd:layers=3,beta=7,patience_reduction=sum"


@pytest.mark.parametrize(
    ("strategy", "slots", "normalise"),
    [("skip", [1, 3], True), ("last", [3, 4], True), ("skip", [1, 3], False)],
)
def test_the_loss_is_hintons_plus_beta_times_patience(run, strategy, slots, normalise):
    method = PatientKD(layers=3, beta=7, alpha=0.3, temperature=4, strategy=strategy, normalise=normalise)
    trial = with_states(run(layers=6), method)
    student = student_of(trial, method)
    positions = np.array([5, 30, 2])
    batch = collate(trial.train, positions)
    output = student(**batch.inputs, output_hidden_states=True)
    own = torch.stack([states[:, 0] for states in output.hidden_states[1:3]], dim=1)
    teacher = trial.teacher_states().read("cls", batch.positions)[:, slots]
    logits = torch.tensor(np.array(trial.teacher_logits()[positions]))
    expected = kd_loss(output.logits, logits, batch.labels, temperature=4, alpha=0.3)
    expected = expected + 7 * patience(own, teacher, normalise=normalise)
    assert method.loss(trial, student)(student, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    assert trial.notes["teacher_layers"] == [slot + 1 for slot in slots]


def test_without_beta_it_is_kd_to_the_bit_and_reads_no_states(run):
    patient = PatientKD(layers=2, beta=0).compress(run(layers=4))
    plain = KnowledgeDistillation(layers=2).compress(run(layers=4))
    for one, other in zip(patient.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    assert PatientKD(beta=0).prerequisites() == KnowledgeDistillation().prerequisites()


def test_training_reads_shuffled_states_and_brings_the_student_nearer(run):
    method = PatientKD(layers=3, alpha=0, epochs=20, learning_rate=3e-3, beta=100)
    trial = with_states(run(layers=6), method)
    trial.results.pop("teacher-outputs")
    batch = collate(trial.train, np.arange(32))

    def distance(student):
        student.eval()
        with torch.no_grad():
            return method.loss(trial, student)(student, batch).item()

    before = distance(student_of(trial, method))
    assert distance(method.compress(trial)) < 0.5 * before


def test_all_patient_methods_share_one_node_of_states():
    assert PatientKD().prerequisites() == ("teacher-outputs", TeacherStates(cls=True))
    assert PatientKD(strategy="last", beta=5, layers=2).prerequisites()[1] == TeacherStates(cls=True)


def test_a_student_of_one_layer_has_nothing_to_be_patient_about(run):
    method = PatientKD(layers=1)
    with pytest.raises(BadInput, match="leave patience out with `beta: 0`"):
        method.compress(with_states(run(layers=4), method))
    assert len(encoders.stack(student_of(run(layers=4), method))) == 1
