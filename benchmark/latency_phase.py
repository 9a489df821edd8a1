"""The phase in which latency is measured: after all trials, nothing else running."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from benchmark import latency
from benchmark.config import LatencySettings
from benchmark.job import Job
from benchmark.manifest import Manifest
from benchmark.store import Scan
from reports.record import Record
from tasks.errors import BadInput


def measure(
    job: Job, settings: LatencySettings, manifest: Manifest, scan: Scan, console: Console
) -> Manifest:
    """Measure the latencies that are missing; scores do not wait for them, so a failure is only said."""
    from ray.exceptions import RayError

    from benchmark import cluster

    records = _rows(job, scan)
    device = job.plan.context.training.device
    threads = max(1, int(job.sweep.resources.cpu))
    try:
        wanted = untimed(job, manifest, scan)
        if wanted:
            # Said once: a line that moves would be something else running.
            console.print("[dim]measuring latency, nothing else running[/]")
        known = {name: set(latency.load(job.store, records, settings, name)) for name in manifest.machines}
        timed = cluster.measure_latency(wanted, known, settings, device, threads)
    except (BadInput, RuntimeError, RayError) as error:
        # Ray puts a remote traceback first and the error itself last.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        console.print(f"[yellow]latency was not measured: {escape(reason)}[/]", soft_wrap=True)
        return manifest
    if timed:
        latency.save(job.store, timed, settings, timed[0].machine)
        others = [name for name in manifest.machines if name != timed[0].machine]
        manifest = manifest.model_copy(update={"machines": (timed[0].machine, *others)})
        manifest.write(job.store)
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
