"""Distillation where the sweep's encoder is a MobileBERT, whose blocks are not called as BERT's are."""

from __future__ import annotations

import pytest
import torch
from distilled import with_states
from tiny_encoders import encoder

from methods import checkpoint
from methods.distillation.distilbert import DistilBERT
from methods.distillation.patient_kd import PatientKD
from methods.distillation.pea_kd import PeaKD
from methods.distillation.teacher_outputs import TeacherOutputs
from methods.distillation.tinybert import TinyBERT
from methods.flops import forward_flops
from methods.pretrained import Source


@pytest.fixture
def trial(run, tmp_path):
    """A run whose pretrained encoder and start model are tiny MobileBERTs of three blocks."""
    made, folder = run(), tmp_path / "mobilebert"
    encoder("bottleneck-bert", seed=2).base_model.save_pretrained(folder / "encoder")
    checkpoint.save(encoder("bottleneck-bert", seed=3), folder / "model")
    made.model = Source("mobilebert", None, str(folder / "encoder"))
    made.results = {"finetune": folder, "teacher-outputs": folder}
    TeacherOutputs().produce(made, folder)
    return made


@pytest.mark.parametrize(
    "method",
    [
        PatientKD(layers=2),
        DistilBERT(layers=2),
        TinyBERT(layers=2, layer_map=[1, 3], inner_epochs=1),
        PeaKD(layers=2, ptp_epochs=1, t=0.6, objective="kd"),
        PeaKD(layers=2, ptp=False, objective="kd"),
    ],
    ids=lambda method: method.label,
)
def test_students_are_trained_and_run_the_blocks_they_say(trial, method):
    student = method.compress(with_states(trial, method)).eval()
    runs = [0]
    for block in student.mobilebert.encoder.layer:
        block.register_forward_hook(lambda *_: runs.append(1))
    with torch.no_grad():
        logits = student(input_ids=torch.arange(4, 12)[None]).logits
    paired = isinstance(method, PeaKD)
    assert sum(runs) == (4 if paired else 2)
    assert len(getattr(student.config, "layer_order", [0, 1])) == sum(runs)
    assert logits.isfinite().all()
    if paired:
        plain = encoder("bottleneck-bert")
        del plain.mobilebert.encoder.layer[2]
        assert forward_flops(student, 16) > 1.8 * forward_flops(plain, 16)
