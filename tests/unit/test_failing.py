"""What becomes of an exception inside a trial."""

from __future__ import annotations

import pytest
import torch
from small_world import SWEEP, write_data, write_model

from benchmark.config.sweep import Sweep
from benchmark.config.yaml_source import YamlSource
from benchmark.plan.job import resolve
from benchmark.trial import execute as trial
from benchmark.trial.execute import execute
from benchmark.trial.failing import PrerequisiteFailed, failure_kind
from methods.divergence import Diverged


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "oom"),
        (Diverged("at step 3"), "diverged"),
        (PrerequisiteFailed("finetune"), "prerequisite"),
        (torch.AcceleratorError("CUDA error: out of memory"), "oom"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), "error"),
        (KeyError("a"), "error"),
    ],
)
def test_every_error_is_of_one_kind(error, kind):
    assert failure_kind(error) == kind


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    write_model(tmp_path / "model")
    write_data(tmp_path / "data")
    fields = {**SWEEP, "methods": ["finetune"], "seeds": 1, "latency": None}
    sweep = Sweep.model_validate(fields).read_from(YamlSource("sweep", None), tmp_path)
    return resolve(sweep, output=str(tmp_path / "out"), offline=True)


def raising(monkeypatch, error: Exception) -> None:
    def carry_out(self):
        raise error

    monkeypatch.setattr(trial._Trial, "carry_out", carry_out)


def test_a_trial_that_fails_leaves_its_reason_and_its_worker(job, monkeypatch):
    raising(monkeypatch, ZeroDivisionError("by zero"))
    node = next(job.plan.trials())
    outcome = execute(job.assignment(node, "a"))
    assert (outcome.status, outcome.kind, outcome.message) == (
        "failed",
        "error",
        "ZeroDivisionError: by zero",
    )
    assert "carry_out" in job.store.failure(node.fingerprint, "a").traceback


def test_a_worker_whose_gpu_failed_takes_no_other_trial(job, monkeypatch):
    raising(monkeypatch, torch.AcceleratorError("CUDA error: unspecified launch failure"))
    node = next(job.plan.trials())
    with pytest.raises(SystemExit, match="the accelerator failed"):
        execute(job.assignment(node, "a"))
    assert "unspecified launch failure" in job.store.failure(node.fingerprint, "a").message
