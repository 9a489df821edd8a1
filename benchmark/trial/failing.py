"""How a trial fails: the kinds of failure, and the note it leaves in the store."""

from __future__ import annotations

import time
import traceback

import torch

from benchmark.store.store import Store
from benchmark.trial.assignment import Assignment, Outcome
from methods.divergence import Diverged
from reports.record import Failure, FailureKind


class PrerequisiteFailed(RuntimeError):
    """What this node starts from is missing or unusable."""


def failure_kind(error: BaseException) -> FailureKind:
    """Return which kind of failure an exception inside a trial is."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "oom"
    # PyTorch's CPU allocator raises a plain RuntimeError, and CUDA's runtime an error of the accelerator.
    if isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or _cuda_is_full(error)):
        return "oom"
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, PrerequisiteFailed):
        return "prerequisite"
    return "error"


def device_is_lost(error: BaseException) -> bool:
    """Whether the accelerator failed, after which nothing more can be computed on it in this process."""
    return isinstance(error, torch.AcceleratorError) and not _cuda_is_full(error)


def _cuda_is_full(error: BaseException) -> bool:
    return isinstance(error, torch.AcceleratorError) and "out of memory" in str(error)


def write_failure(
    assignment: Assignment, store: Store, error: BaseException, started: float, log: str
) -> Outcome:
    """Write down why an attempt failed and return it as the outcome."""
    kind, message = failure_kind(error), f"{type(error).__name__}: {error}"
    failure = Failure(
        fingerprint=assignment.fingerprint,
        attempt=assignment.attempt,
        label=assignment.label,
        task=assignment.task_name,
        seed=assignment.seed,
        kind=kind,
        message=message,
        traceback="".join(traceback.format_exception(error)),
        log=log,
        started=started,
        ended=time.time(),
    )
    try:
        store.fail(failure)
    except OSError as second:  # A full disk must not hide what happened first.
        message = f"{message} (and the failure could not be written down: {second})"
    seconds = time.time() - started
    return Outcome(assignment.fingerprint, assignment.attempt, "failed", kind, message, seconds)
