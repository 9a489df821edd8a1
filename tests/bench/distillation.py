"""What the teacher's cache saves: a student's epoch with it and with the teacher in the loop, on real MRPC."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.training import prepared

EXAMPLES, ROUNDS = 960, 3


def measure() -> Iterator[str]:
    """Print the ratio of times, the share of a step that goes into reading, and the growth of memory."""
    import torch

    from methods.distillation.kd import KnowledgeDistillation
    from methods.distillation.losses import kd_loss, kd_training_loss
    from methods.distillation.patient_kd import PatientKD
    from methods.distillation.student import student_of
    from methods.distillation.teacher_outputs import TeacherOutputs
    from methods.distillation.teacher_states import TeacherStates

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        run = _run(Path(name))
        for work in (
            TeacherOutputs(),
            TeacherStates(hidden="mapped", attentions=True, cls=True, layer_map=3),
        ):
            folder = Path(name, work.name)
            folder.mkdir()
            begun = time.perf_counter()
            work.produce(run, folder)
            size = sum(file.stat().st_size for file in folder.iterdir())
            taken = time.perf_counter() - begun
            yield f"mrpc: {work.label}: {size / 1e6:.1f} MB in {taken:.0f} s"
            run.results = {**run.results, work.name: folder}
        teacher = run.start()

        def live(model: Any, batch: Any) -> Any:
            with torch.inference_mode():
                outputs = teacher(**batch.inputs).logits.float()
            student = model(**batch.inputs).logits.float()
            return kd_loss(student, outputs.clone(), batch.labels, temperature=10, alpha=0.5)

        method = KnowledgeDistillation(layers=3)
        cached = kd_training_loss(run, temperature=10, alpha=0.5)
        times = _interleaved(run, lambda: student_of(run, method), {"live": live, "cached": cached})
        ratio = times["live"] / times["cached"]
        yield (
            f"mrpc: KD epoch with the teacher (6 layers) in the loop ÷ from the cache, student of 3: {ratio:.2f} "
            "(at least 1.4; the floor of the work is 1.67)"
        )
        patient = PatientKD(layers=3)
        step = _interleaved(
            run, lambda: student_of(run, patient), {"patient": patient.loss(run, student_of(run, patient))}
        )["patient"]
        yield from _reading(run, {"logits": times["cached"], "cls": step, "hidden": step, "attentions": step})


def _run(folder: Path) -> Any:
    """A run on MRPC's train split with a teacher of MiniLM's shape; what it knows does not matter here."""
    import torch

    from benchmark.environment import has_bf16
    from methods import checkpoint, pretrained
    from methods.run import Run
    from methods.settings import Training
    from tasks.registry import task
    from tasks.seeds import Seeds

    examples = prepared("mrpc").train.subset(range(EXAMPLES))
    source = pretrained.resolve("minilm", folder=Path(), offline=True)
    checkpoint.save(pretrained.classifier(source, task("mrpc"), seed=1), folder / "model")
    precision = "bf16" if has_bf16() else "fp32"
    return Run(
        task=task("mrpc"),
        train=examples,
        reward=examples,
        choice=examples,
        training=Training.model_validate({"precision": precision, "device": "cpu"}),
        seeds=Seeds.derive(1),
        device=torch.device("cpu"),
        model=source,
        results={"finetune": folder},
        folder=folder,
    )


def _interleaved(run: Any, student: Callable[[], Any], losses: dict[str, Any]) -> dict[str, float]:
    """Seconds of processor time of one step by loss: an epoch each, the fastest of rounds that take turns."""
    fastest: dict[str, float] = {}
    models = {name: student() for name in losses}
    for _ in range(ROUNDS):
        for name, loss in losses.items():
            begun = time.process_time()
            # One whole epoch, the same batches for all.
            steps = run.fit(models[name], loss, training=run.training.override(epochs=1), draw=0).cost.steps
            seconds = (time.process_time() - begun) / steps
            fastest[name] = min(seconds, fastest.get(name, seconds))
    return fastest


def _reading(run: Any, steps: dict[str, float]) -> Iterator[str]:
    """Share of a step that reading takes, and private memory before and after a whole epoch of reading."""
    import torch

    from tasks.batches import epoch

    states, logits = run.teacher_states(), torch.tensor(run.teacher_logits())
    batches = [batch.positions for batch in epoch(run.train, 32, seed=1, number=0)]
    for kind, step in steps.items():
        read = (
            logits.__getitem__
            if kind == "logits"
            else lambda positions, kind=kind: states.read(kind, positions)
        )
        read(batches[0])
        before, begun = _private_bytes(), time.process_time()
        for positions in batches:
            read(positions)
        share = (time.process_time() - begun) / len(batches) / step
        grown = (_private_bytes() - before) / 1e6
        bound = "(at most 3 %)" if kind in ("logits", "cls") else "(beside)"
        yield f"mrpc: reading {kind} takes {share:.2%} of a step {bound}; private memory grew by {grown:.1f} MB"


def _private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
