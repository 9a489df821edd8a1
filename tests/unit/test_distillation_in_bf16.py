"""Losses of distillation in bf16: nearly those of fp32, and summed up in fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from distilled import with_states, write_tokenizer

from methods.distillation.distilbert import DistilBERT
from methods.distillation.kd import KnowledgeDistillation
from methods.distillation.patient_kd import PatientKD
from methods.distillation.pea_kd import PeaKD
from methods.distillation.tinybert import TinyBERT
from tasks.batches import collate


@pytest.mark.parametrize(
    ("method", "trainings"),
    [
        (KnowledgeDistillation(layers=2), 1),
        (PatientKD(layers=2), 1),
        (DistilBERT(layers=2, mlm=1), 1),
        (TinyBERT(layers=2), 2),
        (TinyBERT(layers=2, live=True), 2),
        (PeaKD(layers=2, t=0.7), 2),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_under_autocast_a_loss_is_close_to_that_of_fp32_and_has_its_type(run, method, trainings):
    trial = with_states(run(layers=4), method)
    write_tokenizer(Path(trial.model.path))
    batch = collate(trial.train, np.arange(16))
    losses = []

    def look(model, loss, **_):
        """Compare where the heads that exist only for the loss are still there."""
        found = []
        for bf16 in (False, True):
            torch.manual_seed(0)  # Which words are masked.
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                value = loss(model.eval(), batch)
            value.backward()
            assert value.dtype == torch.float32
            found.append(value.item())
        losses.append(found)

    trial.fit = look
    method.compress(trial)
    assert len(losses) == trainings
    for exact, rounded in losses:
        assert exact > 0 and rounded == pytest.approx(exact, rel=0.03)
        assert rounded != exact, "autocast was on"
