"""Facts about the machine and the sources, written into every record."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from benchmark.digest import libraries
from methods.settings import Training

_ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def processor() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


@functools.cache
def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself; without that, bf16 is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16 "))


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit of the sources and whether they were changed; empty where nobody knows.

    A checkout says it itself. For sources without one, in an image or on a worker, `LEANBOARD_GIT_COMMIT`
    does.
    """

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    # Installed into an environment inside somebody's checkout, the sources are not that checkout's.
    if (_ROOT / ".git").exists():
        # Where git is missing, or the checkout is another user's, the variable is all there is.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if commit := git("rev-parse", "HEAD"):
                return {"commit": commit, "dirty": bool(git("status", "--porcelain"))}
    if told := os.environ.get("LEANBOARD_GIT_COMMIT"):
        return {"commit": told, "dirty": os.environ.get("LEANBOARD_GIT_DIRTY") == "1"}
    return {}


def resolve(training: Training, gpus: float) -> Training:
    """Replace `auto` by the device and precision that trials with `gpus` GPUs get.

    This happens before the fingerprint, so a record never hides which precision it was trained in.
    """
    device = training.device
    if device == "auto":
        apple = sys.platform == "darwin" and platform.machine() == "arm64"
        device = "cuda" if gpus > 0 else "mps" if apple else "cpu"
    precision = training.precision
    if precision == "auto":
        precision = "bf16" if device == "cuda" or (device == "cpu" and has_bf16()) else "fp32"
    return training.model_copy(update={"device": device, "precision": precision})


def facts() -> dict[str, Any]:
    """Versions, host, processor and sources of this process."""
    return {
        "python": platform.python_version(),
        "libraries": libraries(),
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "git": git_state(),
    }
