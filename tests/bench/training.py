"""Training throughput: two one-thread trials at once against transformers' Trainer, on real GLUE."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tasks.examples import Examples
from tasks.prepare import Prepared, prepare
from tasks.registry import task as find_task
from tasks.seeds import Seeds

BATCH, LENGTH = 32, 128
OUR_STEPS, TRAINER_STEPS, WARM_UP_STEPS = 40, 12, 3


def measure() -> Iterator[str]:
    """Print throughputs in examples per second and their ratios."""
    for task, targets in (("mrpc", {"padded": 4, "grouped": 1.7}), ("cola", {"padded": 12})):
        ours = {precision: _two_trials(task, precision) for precision in precisions()}
        theirs = {padding: alone(_trainer, task, padding) for padding in targets}
        for precision, rate in ours.items():
            yield f"{task}: two one-thread trials, {precision}: {rate:.1f} examples/s together"
            for padding, target in targets.items():
                least = f"(at least {target})" if precision == precisions()[0] else "(beside)"
                yield (
                    f"{task}: ÷ Trainer fp32, {padding}, two threads ({theirs[padding]:.1f} examples/s): "
                    f"{rate / theirs[padding]:.2f} {least}"
                )


def precisions() -> list[str]:
    """What this processor has, the fastest first."""
    from benchmark.environment import has_bf16

    return ["bf16", "fp32"] if has_bf16() else ["fp32"]


def _two_trials(task: str, precision: str) -> float:
    context = multiprocessing.get_context("spawn")
    ready = context.Manager().Barrier(2)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return sum(pool.map(_our_trial, [task] * 2, [precision] * 2, [ready] * 2))


def alone(function: Any, *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def prepared(task: str) -> Prepared:
    """A real task, tokenised for MiniLM and split as a trial would."""
    with tempfile.TemporaryDirectory() as cache:
        return prepare(
            find_task(task),
            os.environ["LEANBOARD_GLUE"],
            _model_path(),
            revision=None,
            max_length=LENGTH,
            limit=None,
            selection=0.2,
            seeds=Seeds.derive(1),
            cache=Path(cache),
            offline=True,
        )


def _model_path() -> str:
    from methods import pretrained

    return pretrained.resolve("minilm", folder=Path(), offline=True).path


def _our_trial(task: str, precision: str, ready: Any) -> float:
    """Examples per second of one trial, as the engine trains: one thread, length buckets, `fit`."""
    import torch

    from methods import pretrained
    from methods.fit import fit
    from methods.settings import Training

    torch.set_num_threads(1)
    examples = prepared(task).train
    source = pretrained.resolve("minilm", folder=Path(), offline=True)
    model = pretrained.classifier(source, find_task(task), seed=1)
    settings = Training.model_validate({"batch_size": BATCH, "precision": precision, "device": "cpu"})
    fit(model, examples, settings, steps=WARM_UP_STEPS, seeds=Seeds.derive(1))
    ready.wait()
    begun = time.perf_counter()
    done = fit(model, examples, settings, steps=OUR_STEPS, seeds=Seeds.derive(1))
    return done.cost.examples / (time.perf_counter() - begun)


def _trainer(task: str, padding: str) -> float:
    """Examples per second of transformers' Trainer in fp32 on two threads.

    `padded` is run_glue's default (every example padded to 128), `grouped` is dynamic padding with batches
    grouped by length.
    """
    import torch
    from datasets import Dataset
    from transformers import (
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from methods import pretrained

    torch.set_num_threads(2)
    examples = prepared(task).train
    rows = [
        {
            "input_ids": examples.ids[begin:end].tolist(),
            "token_type_ids": examples.types[begin:end].tolist(),
            "label": label,
        }
        for begin, end, label in zip(*_spans(examples), examples.labels.tolist(), strict=True)
    ]
    tokenizer = AutoTokenizer.from_pretrained(_model_path())
    source = pretrained.resolve("minilm", folder=Path(), offline=True)
    model = pretrained.classifier(source, find_task(task), seed=1)
    fixed = {"padding": "max_length", "max_length": LENGTH} if padding == "padded" else {"padding": True}

    class Clock(TrainerCallback):
        """Starts the clock when the warm-up is over."""

        begun = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **info: Any) -> None:
            if state.global_step == WARM_UP_STEPS:
                Clock.begun = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=WARM_UP_STEPS + TRAINER_STEPS,
            learning_rate=2e-5,
            train_sampling_strategy="group_by_length" if padding == "grouped" else "random",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            data_collator=DataCollatorWithPadding(tokenizer, **fixed),
            callbacks=[Clock()],
        ).train()
    return TRAINER_STEPS * BATCH / (time.perf_counter() - Clock.begun)


def _spans(examples: Examples) -> tuple[list[int], list[int]]:
    return examples.offsets[examples.rows].tolist(), examples.offsets[examples.rows + 1].tolist()
