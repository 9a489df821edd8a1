"""Latency: a phase of its own with nothing else running, on really smaller weights, repeats interleaved."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil

from benchmark import environment
from benchmark.config.sweep import LatencySettings
from benchmark.plan.fingerprint import PROTOCOL, fingerprint
from benchmark.store.store import Store
from methods.timing import rounds, summary, synchronise
from reports.record import Latency, Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_UP = 20
"""Passes of each model and batch size before timing."""
WARM_UP_MILLISECONDS = 1000.0
"""Time after which a warm-up ends sooner: passes of 50 ms and more are steady after fewer."""
WARM_UP_LEAST = 3
"""Passes that every warm-up has, however long they take."""


def first_seeds(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """The record of the lowest seed of each row, whose architecture stands for the row."""
    chosen: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.seed):
        if record.model is not None:
            chosen.setdefault((record.label, record.task), record)
    return chosen


def architectures(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """What `checkpoint.build` takes of every row's model, by signature; rows of equal models are one."""
    models = [record.model for record in first_seeds(records).values() if record.model]
    return {model.signature: model.architecture for model in models}


def machine(device: str, threads: int, gpu: str | None = None) -> str:
    """Name what latencies are comparable on: the processor or GPU, threads and library; never the host."""
    where = gpu if device == "cuda" and gpu else f"{environment.processor()}, {threads} thread(s)"
    if device == "mps":
        where = f"{environment.processor()}, its GPU (mps)"
    return f"{where}, torch {version('torch')}"


def load(store: Store, records: Iterable[Record], settings: LatencySettings, name: str) -> dict[str, Latency]:
    """Latencies measured before on one machine, by signature."""
    found = {}
    for signature in architectures(records):
        content = store.read_json(_path(signature, settings, name))
        if content:
            found[signature] = Latency.model_validate(content)
    return found


def newest(
    store: Store, records: Iterable[Record], settings: LatencySettings, machines: Iterable[str]
) -> dict[str, Latency]:
    """Latencies by signature of the newest machine that timed them all, or else of the one that timed most.

    Those of different machines are never mixed.

    Args:
        store: the output.
        records: the trials whose latencies are wanted.
        settings: how they were measured.
        machines: names of `machine`, the newest first.
    """
    records = list(records)
    sets = [load(store, records, settings, name) for name in machines]
    return max(sets, key=len, default={})  # Of equal sets the first.


def save(store: Store, latencies: Iterable[Latency], settings: LatencySettings, name: str) -> None:
    """Keep latencies for later reports."""
    for latency in latencies:
        store.write_json(_path(latency.signature, settings, name), latency.model_dump(mode="json"))


def _path(signature: str, settings: LatencySettings, name: str) -> str:
    content = {
        "protocol": PROTOCOL,
        "signature": signature,
        "machine": name,
        **settings.model_dump(mode="json"),
    }
    return f"latency/{fingerprint(content)}.json"


def measure(
    wanted: Mapping[str, dict[str, Any]],
    settings: LatencySettings,
    device: str,
    threads: int,
    name: str,
) -> list[Latency]:
    """Time forward passes of freshly built models; weights are random, which time does not depend on.

    Every repeat goes once through all architectures, in an order of its own, and through the batch sizes of
    each. fp32, full sequences without padding, tokens made beforehand. The warm-up is 20 passes,
    or as many as a second holds and at least three.

    Args:
        wanted: what `checkpoint.build` takes, by signature.
        settings: batch sizes, length, repeats.
        device: where to run.
        threads: CPU threads.
        name: the machine's name for the record.
    """
    import torch

    torch.set_num_threads(threads)
    models = _Models(wanted, device)
    words = min(content["vocab_size"] for content in wanted.values())
    inputs = {
        size: torch.randint(words, (size, settings.length), device=device) for size in settings.batch_sizes
    }
    times: dict[tuple[str, int], list[float]] = {(key, size): [] for key in wanted for size in inputs}

    def forward(model: PreTrainedModel, size: int) -> float:
        begun = time.perf_counter()
        model(input_ids=inputs[size])
        synchronise(device)
        return 1000 * (time.perf_counter() - begun)

    with torch.inference_mode():
        for key in wanted:
            model = models.of(key)
            for size in inputs:
                _warm_up(functools.partial(forward, model, size))
        for order in rounds(wanted, settings.repeats):
            for key in order:
                model = models.of(key)
                if not models.stays(key):
                    # Its weights are new to memory and cache.
                    forward(model, min(inputs))
                for size in inputs:
                    times[key, size].append(forward(model, size))
    return [
        Latency(
            signature=key,
            machine=name,
            precision="fp32",
            length=settings.length,
            batches={str(size): summary(times[key, size]) for size in inputs},
        )
        for key in wanted
    ]


class _Models:
    """Models by signature: as many stay as fit into half of the free memory, others are built at their turn.

    Interleaving comes back to every model once per repeat; a sweep may have more of them than memory holds.
    """

    def __init__(self, wanted: Mapping[str, dict[str, Any]], device: str) -> None:
        self.wanted = wanted
        self.device = device
        self.left = _free_bytes(device) // 2
        self.kept: dict[str, PreTrainedModel] = {}

    def of(self, key: str) -> PreTrainedModel:
        """The model of a signature, in eval mode on the device."""
        from methods import checkpoint

        if key in self.kept:
            return self.kept[key]
        model = checkpoint.build(self.wanted[key]).to(self.device).eval()
        size = sum(tensor.nbytes for tensor in model.parameters())
        if size <= self.left:
            self.left -= size
            self.kept[key] = model
        return model

    def stays(self, key: str) -> bool:
        """Whether the model is in memory between its turns."""
        return key in self.kept


def _free_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available


def _warm_up(forward: Callable[[], float]) -> None:
    """Pass until times are steady: the first passes allocate memory and choose kernels."""
    spent = 0.0
    for number in range(WARM_UP):
        if number >= WARM_UP_LEAST and spent >= WARM_UP_MILLISECONDS:
            return
        spent += forward()
