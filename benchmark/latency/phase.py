"""The phase in which latency is measured: after all trials, nothing else running."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from benchmark.config.sweep import LatencySettings
from benchmark.latency import latency
from benchmark.plan.job import Job
from benchmark.store.manifest import Manifest
from benchmark.store.store import Scan, Store
from reports.record import Latency, Record
from tasks.errors import BadInput


def measure(
    job: Job, settings: LatencySettings, manifest: Manifest, scan: Scan, console: Console, *, wait: float
) -> Manifest:
    """Measure the latencies that are missing; scores do not wait for them, so a failure is only said.

    It is said on the console, and in the manifest for the page.

    Args:
        job: the sweep.
        settings: batch sizes, length, repeats.
        manifest: names the machines that have been measured.
        scan: the records, whose architectures are timed.
        console: where it is said.
        wait: seconds to wait for a node on which nothing else runs.

    Returns:
        The manifest, with the machine where it was measured, or why it was not.
    """
    from ray.exceptions import RayError

    records = _rows(job, scan)
    device = job.plan.context.training.device
    threads = max(1, int(job.sweep.resources.cpu))
    try:
        wanted = untimed(job, manifest, scan)
        if wanted:
            # Said once: a line that moves would be something else running.
            console.print("[dim]measuring latency once nothing else runs[/]")
        known = {name: set(latency.load(job.store, records, settings, name)) for name in manifest.machines}
        timed = _on_an_idle_node(wanted, known, settings, device, threads, wait)
    except (BadInput, RuntimeError, RayError) as error:
        # Ray puts a remote traceback first and the error itself last.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        console.print(f"[yellow]latency was not measured: {escape(reason)}[/]", soft_wrap=True)
        return _written(job.store, manifest, untimed=reason)
    if timed:
        latency.save(job.store, timed, settings, timed[0].machine)
        others = [name for name in manifest.machines if name != timed[0].machine]
        manifest = _written(job.store, manifest, machines=(timed[0].machine, *others), untimed="")
    return manifest


def _written(store: Store, manifest: Manifest, **changes: Any) -> Manifest:
    """Return the manifest with changes, once it is in the store: a later report reads it there."""
    manifest = manifest.model_copy(update=changes)
    manifest.write(store)
    return manifest


def untimed(job: Job, manifest: Manifest, scan: Scan) -> dict[str, dict]:
    """The architectures of all rows by signature, unless one machine has timed them all."""
    if job.sweep.latency is None:
        return {}
    records = _rows(job, scan)
    wanted = latency.architectures(records)
    timed = latency.newest(job.store, records, job.sweep.latency, manifest.machines)
    return {} if len(timed) == len(wanted) else wanted


def _rows(job: Job, scan: Scan) -> list[Record]:
    return [record for key, record in scan.records.items() if key in job.plan.rows]


def _on_an_idle_node(
    wanted: Mapping[str, dict[str, Any]],
    known: Mapping[str, Collection[str]],
    settings: LatencySettings,
    device: str,
    threads: int,
    wait: float,
) -> list[Latency]:
    """Time models in a task that holds all CPUs of its node, so that nothing else of ours runs there.

    Args:
        wanted: architectures by signature.
        known: by machine the signatures it has timed; only there they are not timed again.
        settings: batch sizes, length, repeats.
        device: where to run.
        threads: CPU threads.
        wait: seconds to wait for such a node.

    Raises:
        BadInput: there is none.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    from benchmark.cluster import cluster

    if not wanted:
        return []
    gpus = 1 if device == "cuda" else 0
    nodes = [node["Resources"] for node in cluster.alive() if node["Resources"].get("GPU", 0) >= gpus]
    if not nodes:
        raise BadInput("no node with a GPU is left to measure on; run again, or set `latency: null`")
    cpus = max(node.get("CPU", 0) for node in nodes)
    idle = placement_group([{"CPU": cpus} | ({"GPU": gpus} if gpus else {})])
    try:
        if not idle.wait(max(1, math.ceil(wait))):
            raise BadInput(
                f"other work holds CPUs of every node, and {wait:g} s (--wait) have not changed it; run the "
                "same command again when the cluster is idle"
            )
        task = ray.remote(num_cpus=cpus, num_gpus=gpus)(_time_missing).options(
            scheduling_strategy=PlacementGroupSchedulingStrategy(idle)
        )
        return ray.get(task.remote(dict(wanted), dict(known), settings, device, threads))
    finally:
        remove_placement_group(idle)


def _time_missing(
    wanted: dict[str, dict[str, Any]],
    known: dict[str, Collection[str]],
    settings: LatencySettings,
    device: str,
    threads: int,
) -> list[Latency]:
    import torch

    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    name = latency.machine(device, threads, gpu)
    missing = {key: content for key, content in wanted.items() if key not in known.get(name, ())}
    return latency.measure(missing, settings, device, threads, name) if missing else []
