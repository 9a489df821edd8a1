"""Measurements of one trial: size, FLOPs, memory. Latency is measured apart, see `benchmark.latency`."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from pathlib import Path

import torch
from transformers import PreTrainedModel

from methods import checkpoint, encoders
from methods.flops import flops_by_length
from reports.record import Model

FLOPS_LENGTH = 128
"""Tokens of the example whose forward FLOPs are recorded."""
_counted: dict[str, float] = {}


def measure(model: PreTrainedModel, scratch: Path) -> Model:
    """Count parameters, FLOPs and bytes of a model.

    Args:
        model: the model a trial hands back.
        scratch: a folder for a checkpoint, removed by the caller.
    """
    saved = checkpoint.save(model, scratch / "model")
    architecture = checkpoint.architecture(model)
    return Model(
        parameters=encoders.parameters(model),
        flops=_flops(model, json.dumps(architecture, sort_keys=True)),
        checkpoint_bytes=checkpoint.saved_bytes(saved),
        architecture=architecture,
        signature=checkpoint.signature(model),
        heads=encoders.head_counts(model),
    )


def _flops(model: PreTrainedModel, architecture: str) -> float:
    """Count once for every architecture that this process meets; the count takes as long as ten passes."""
    if architecture not in _counted:
        # By its polynomial: a small model may have fewer positions than tokens counted here.
        _counted[architecture] = flops_by_length(model)(FLOPS_LENGTH)
    return _counted[architecture]


def reset_peak_memory() -> None:
    """Forget the memory peak of what ran earlier in this process, where the system can."""
    # Without it the peak is that of the whole process, which is what other systems report anyway.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: the GPU's allocations on cuda, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
