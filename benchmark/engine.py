"""Running a sweep: what is missing is run, timed, published and mirrored; what is there is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.markup import escape

from benchmark.digest import digest
from benchmark.interrupts import Interrupts, interruptible
from benchmark.latency import phase as latency_phase
from benchmark.plan.job import Job
from benchmark.plan.plan import Node
from benchmark.plan.reruns import to_make_again
from benchmark.publish import Published, publish
from benchmark.running import run_nodes
from benchmark.store import origins, orphans
from benchmark.store.manifest import Manifest, describe
from benchmark.store.store import Scan, has_result
from benchmark.studies import PublishedStudy, find_report, publish_studies
from benchmark.tracking import RunIdentity, Session
from reports.record import Failure, Record
from tasks.cache import cache_folder
from tasks.seeds import Seeds


@dataclass(frozen=True)
class Options:
    """How a sweep is run; nothing here changes a result."""

    command: str = ""
    """What the user typed, for the page."""
    address: str | None = None
    """An existing Ray cluster."""
    cpus: int | None = None
    """CPUs of a Ray of our own; all of the machine when None."""
    wait: float = 600
    """Seconds to wait for room: for an autoscaler, and for a node that is idle enough to measure latency."""
    rerun: Sequence[str] = ()
    """Labels whose records are made again, with all that is built on them."""
    redo: Mapping[str, float] = field(default_factory=dict)
    """Records that do not count, as `ended` by fingerprint; each is replaced once its node has run again."""
    night: str | None = None
    """The date of a nightly run, which gets an MLflow parent of its own."""
    study: str | None = None
    """Label of the one study that is run; everything else of the sweep is left as it is."""


@dataclass(frozen=True)
class Result:
    """What a run did."""

    published: Published
    manifest: Manifest
    records: Mapping[str, Record]
    """Whole records of the sweep's nodes, by fingerprint."""
    ran: int
    """Nodes that were run to the end now."""
    cached: int
    """Wanted trials whose record was there before."""
    failures: Mapping[str, Failure]
    """Why nodes have no record, by fingerprint."""
    tracking: str
    """Where MLflow has the runs."""
    wanted: frozenset[str]
    """Fingerprints of the trials the run was for: rows of the leaderboard and what studies are made of."""
    studies: Sequence[PublishedStudy] = ()
    """The studies that have something to show."""

    @property
    def incomplete(self) -> int:
        """Wanted trials without a result."""
        return len(self.wanted - self.records.keys())


def run(job: Job, console: Console, options: Options) -> Result:
    """Run what is missing and publish the leaderboard.

    Raises:
        BadInput: the output, the data, the cluster or a label to rerun is not as asked.
        Interrupted: a signal came; what is finished is in the store.
    """
    with interruptible() as interrupts:
        return _run(job, console, options, interrupts)


def _run(job: Job, console: Console, options: Options, interrupts: Interrupts) -> Result:
    job.store.probe()
    options = _with_reruns(job, options)
    scan = _scan(job, options)
    _report_scan(job, scan, console)
    known = Manifest.read(job.store)
    machines, untimed = (known.machines, known.untimed) if known else ((), "")
    manifest = describe(job, options.command, machines, options.night, untimed)
    wanted = _wanted(manifest, options)
    missing = job.missing(scan, wanted & job.plan.studies if options.study else wanted)
    kept = _kept(manifest, known, options.study)
    # Written before the work, so that `status` and `logs` can follow it.
    if kept != known:
        kept.write(job.store)
    session = Session(job.store, RunIdentity(job.name, manifest.sweep.config, manifest.night))
    try:
        if missing or (not options.study and latency_phase.untimed(job, manifest, scan)):
            check_data(job)
            orphans.remove(job.store, job.plan.nodes.keys(), scan.records)
            manifest, scan = _work(job, missing, manifest, session, console, options, interrupts)
        records = list(scan.records.values())
        shown = _kept(manifest, known, options.study)
        rows = records if shown is manifest else list(shown.scan(job.store).records.values())
        pairs = [(method.label, task.name) for method in shown.sweep.methods for task in shown.sweep.tasks]
        published = publish(job.store, shown, rows, links=session.links(pairs))
        studies = publish_studies(job.store, manifest, records)
        failures = job.store.failures(job.plan.nodes.keys() - scan.records.keys())
        warning = session.finish(records, list(failures.values()), published.board, published.folder, studies)
    except BaseException:
        # Also a cluster without room or a store that a node cannot see: no run stays open in MLflow.
        session.interrupt()
        raise
    if warning:
        console.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    return Result(
        published=published,
        manifest=manifest,
        records=scan.records,
        ran=sum(1 for key in missing if key in scan.records),
        cached=sum(1 for key in wanted if key in scan.records and key not in missing),
        failures=failures,
        tracking=session.tracking.shown,
        wanted=wanted,
        studies=studies,
    )


def _kept(manifest: Manifest, known: Manifest | None, study: str | None) -> Manifest:
    """Return the manifest to store; a study on fewer tasks or seeds must not drop recorded rows."""
    if known and study and known.rows().keys() - manifest.rows().keys():
        return known.with_studies(manifest)
    return manifest


def _wanted(manifest: Manifest, options: Options) -> frozenset[str]:
    """The trials a run is for: all of the sweep, or those one study is made of."""
    chosen = [study for study in manifest.studies if study.label == options.study]
    return frozenset(manifest.reported(chosen[0]) if chosen else manifest.targets())


def _work(
    job: Job,
    missing: Mapping[str, Node],
    manifest: Manifest,
    session: Session,
    console: Console,
    options: Options,
    interrupts: Interrupts,
) -> tuple[Manifest, Scan]:
    """Run the missing nodes on Ray, then time the models while nothing else runs."""
    _import_reports(manifest)
    # All of Ray is imported before the mirror's thread imports mlflow: the two share packages.
    from benchmark.cluster import (
        cluster,
        ray_tune,  # noqa: F401
    )

    with cluster.connected(options.address, offline=job.offline, cpus=options.cpus):
        interrupts.listen()
        session.start()
        run_nodes(job, missing, console, options.wait, session, interrupts)
        scan = _scan(job, options)
        if job.sweep.latency and not options.study:
            with session.paused():
                manifest = latency_phase.measure(
                    job, job.sweep.latency, manifest, scan, console, wait=options.wait
                )
    return manifest, scan


def _import_reports(manifest: Manifest) -> None:
    """Import now what publishes in the end, and note which code it is.

    A report that cannot be imported is then known before hours of work, and code that somebody edits
    meanwhile neither meets older modules nor is taken for what made the page.
    """
    from benchmark.digest import sources
    from reports import leaderboard  # noqa: F401
    from reports.render import render  # noqa: F401

    sources("reports")
    for study in manifest.studies:
        find_report(study)


def run_apart(job: Job, console: Console, options: Options) -> Scan:
    """Run what is missing of a job and publish nothing: neither manifest nor leaderboard nor MLflow."""
    from benchmark.cluster import cluster

    scan = _scan(job, options)
    missing = job.missing(scan)
    if not missing:
        return scan
    with (
        interruptible() as interrupts,
        cluster.connected(options.address, offline=job.offline, cpus=options.cpus),
    ):
        interrupts.listen()
        run_nodes(job, missing, console, options.wait, None, interrupts)
    return _scan(job, options)


def _scan(job: Job, options: Options) -> Scan:
    """Find the job's records, without those that are to be made again and have not been yet."""
    scan = job.scan()
    for key, ended in options.redo.items():
        if key in scan.records and scan.records[key].ended == ended:
            del scan.records[key]
    return scan


def check_data(job: Job) -> None:
    """Prepare every task once on the driver: what is wrong with the data shows before any worker starts.

    The tokens it leaves in the cache are the ones the workers of this machine need.

    Raises:
        BadInput: a task is missing or not as declared, too small to be split, or too long for the model.
    """
    from tasks.prepare import prepare

    for task in job.tasks:
        prepare(
            task,
            job.data,
            job.model.path,
            revision=job.model.revision,
            max_length=job.sweep.train.max_length,
            limit=job.plan.context.limit_of(task.name),
            selection=job.sweep.selection,
            seeds=Seeds.derive(job.sweep.seeds[0]),
            cache=cache_folder(),
            offline=job.offline,
        )


def _with_reruns(job: Job, options: Options) -> Options:
    """Add to what is made again: labels to rerun, and rows to keep whose record has no weights.

    Old records stay until they are replaced.
    """
    redo = {**options.redo, **to_make_again(job, options.rerun)}
    if job.plan.asked:
        kept = job.store.scan(job.plan.asked).records
        redo |= {key: record.ended for key, record in kept.items() if not has_result(record)}
    return replace(options, redo=redo)


def _report_scan(job: Job, scan: Scan, console: Console) -> None:
    for key, reason in scan.damaged.items():
        message = escape(f"damaged record of {job.plan.nodes[key].name}: {reason}; it is made again")
        console.print(f"[yellow]{message}[/]", soft_wrap=True)
    for sentence in origins.changed_start_models(scan.records.values()):
        console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    older = sum(
        1
        for key, record in scan.records.items()
        if record.digest != digest(type(job.plan.nodes[key].work).__module__)
    )
    if older:
        console.print(
            f"[dim]{older} of {len(scan.records)} records come from other versions of the code or libraries; "
            "--rerun LABEL makes them again[/]"
        )
