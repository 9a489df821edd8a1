"""What `leanboard doctor` examines: whether everything is there, and what to do where it is not."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmark import environment
from tasks.errors import BadInput, first_line

_SHOWN = ("leanboard", "torch", "transformers", "datasets", "ray", "mlflow", "scipy")


@dataclass(frozen=True)
class Finding:
    """One fact about the machine."""

    what: str
    found: str
    ok: bool = True
    optional: bool = False
    """Whether Leanboard works without it."""


def examine(sweep: Path | None, *, offline: bool) -> list[Finding]:
    """Examine this machine, and a sweep's model and data if one is named."""
    findings = [_installed(name) for name in _SHOWN]
    findings += [_cores(), _disk()]
    if all(finding.ok for finding in findings[: len(_SHOWN)]):
        findings += [_bf16(), _gpu(), _ray(), _mlflow(), _bundled()]
    findings += [_minilm(), _hub(offline)]
    return findings + (_sweep(sweep, offline) if sweep else [])


def _installed(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(
            name, "is not installed; in the checkout run: pip install -c constraints.txt .", ok=False
        )


def _cores() -> Finding:
    memory = psutil.virtual_memory()
    return Finding(
        "processor",
        f"{environment.processor()}, {psutil.cpu_count()} CPUs, {memory.available / 2**30:.1f} of "
        f"{memory.total / 2**30:.1f} GiB memory free",
    )


def _bf16() -> Finding:
    has = environment.has_bf16()
    found = "the processor multiplies bf16 itself" if has else "no; precision auto means fp32 on the CPU"
    return Finding("bf16", found, ok=has, optional=True)


def _gpu() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("GPU", ", ".join(names) or "none; trials run on the CPU", ok=bool(names), optional=True)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding("disk", f"{free / 1e9:.0f} GB free here", ok=free > 2e9)


def _ray() -> Finding:
    import ray

    from benchmark.cluster.cluster import connected

    try:
        with connected(None, offline=True, cpus=1):
            ray.get(ray.remote(num_cpus=1)(_import_ours).remote())
    except Exception as error:
        return Finding("Ray", f"does not start: {error}", ok=False)
    return Finding("Ray", "starts, and a worker imports our packages")


def _import_ours() -> None:
    import benchmark.trial.execute  # noqa: F401 - with it all that a trial needs


def _mlflow() -> Finding:
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        try:
            MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments(max_results=1)
        except Exception as error:
            return Finding("MLflow", f"cannot write a sqlite store: {error}", ok=False)
    return Finding("MLflow", "writes a sqlite store")


def _minilm() -> Finding:
    from methods import pretrained

    try:
        found = pretrained.resolve("minilm", folder=Path.cwd(), offline=True)
    except BadInput as error:
        return Finding("model minilm", str(error), ok=False, optional=True)
    return Finding("model minilm", f"packaged, at {found.path}")


def _bundled() -> Finding:
    from tasks import loading
    from tasks.glue import GLUE

    try:
        for task in GLUE:
            loading.load(task, "bundled", offline=True)
    except BadInput as error:
        return Finding("data bundled", str(error), ok=False)
    return Finding("data bundled", f"{len(GLUE)} tasks")


def _hub(offline: bool) -> Finding:
    """Whether models and data can be fetched."""
    if offline:
        return Finding("Hub", "not asked (--offline); what was fetched before can be used", optional=True)
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.dataset_info("nyu-mll/glue", timeout=10)
    except Exception as error:  # What the Hub's HTTP client raises depends on the client's version.
        reason = first_line(error)
        found = (
            f"{api.endpoint} cannot be reached ({reason}); folders, `bundled`, `minilm` and what was fetched "
            "before can be used"
        )
        return Finding("Hub", found, ok=False, optional=True)
    return Finding("Hub", f"{api.endpoint} answers")


def _sweep(path: Path, offline: bool) -> list[Finding]:
    from benchmark.config.load import load_sweep
    from benchmark.plan.job import resolve
    from tasks import loading

    try:
        job = resolve(load_sweep(path), offline=offline)
    except BadInput as error:
        return [Finding("sweep", str(error), ok=False)]
    findings = [Finding("model", f"{job.model.id} at {job.model.path}")]
    for task in job.tasks:
        try:
            rows = {name: len(split) for name, split in loading.load(task, job.data, offline).items()}
            findings.append(
                Finding(f"data {task.name}", ", ".join(f"{count} {name}" for name, count in rows.items()))
            )
        except BadInput as error:
            findings.append(Finding(f"data {task.name}", str(error), ok=False))
    return findings
