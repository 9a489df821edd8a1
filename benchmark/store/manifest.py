"""The manifest: what an output folder is the result of, readable without the sweep's model or data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.config import yaml_source
from benchmark.config.sweep import LatencySettings
from benchmark.plan.job import Job
from benchmark.plan.plan import NO_TASK
from benchmark.store.files import absolute
from benchmark.store.store import Scan, Store
from methods.study import Study
from reports.board import MethodFacts, StudyFacts, SweepFacts, TaskFacts
from reports.record import trial_name
from tasks.cache import cache_folder
from tasks.errors import BadInput

FILE = "manifest.json"


class ManifestNode(BaseModel):
    """A node as the manifest remembers it."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    label: str
    task: str
    seed: int
    row: bool
    """Whether it stands on the leaderboard."""
    study: bool = False
    """Whether a study is made of it."""

    @property
    def name(self) -> str:
        """Label, task and seed."""
        return trial_name(self.label, self.task, self.seed)


class Manifest(BaseModel):
    """The sweep as last run in an output folder."""

    model_config = ConfigDict(frozen=True)

    sweep: SweepFacts
    model: dict[str, Any]
    """Identity of the pretrained encoder."""
    data: dict[str, dict[str, Any]]
    """Identity of each task's data."""
    nodes: tuple[ManifestNode, ...]
    latency: LatencySettings | None
    machines: tuple[str, ...] = ()
    """Where latencies were measured, the newest first."""
    untimed: str = ""
    """Why the last measurement of latency failed; empty if it did not."""
    night: str | None = None
    """The nightly run that wrote it, whose runs have an MLflow parent of their own."""
    studies: tuple[StudyFacts, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def pretrains(self) -> bool:
        """Whether encoders are made in the sweep, one for all tasks and seeds."""
        return any(node.task == NO_TASK and not node.study for node in self.nodes)

    def rows(self) -> dict[str, ManifestNode]:
        """Nodes of the leaderboard, by fingerprint."""
        return {node.fingerprint: node for node in self.nodes if node.row}

    def targets(self) -> dict[str, ManifestNode]:
        """Nodes of the leaderboard and of studies, by fingerprint."""
        return {node.fingerprint: node for node in self.nodes if node.row or node.study}

    def reported(self, study: StudyFacts) -> dict[str, ManifestNode]:
        """Nodes whose records a study is made of, by fingerprint."""
        if study.sweep_wide:
            return {n.fingerprint: n for n in self.nodes if n.task == NO_TASK and not n.study}
        if not study.source:
            return self.rows()
        return {n.fingerprint: n for n in self.nodes if n.study and n.label == study.source}

    def with_studies(self, other: Manifest) -> Manifest:
        """Return this manifest with the studies of another one, their trials and what these start from."""
        known = {node.fingerprint: node for node in self.nodes}
        for node in other.nodes:
            own = known.get(node.fingerprint, node.model_copy(update={"row": False}))
            known[node.fingerprint] = own.model_copy(update={"study": own.study or node.study})
        labels = {study.label for study in other.studies}
        studies = (*(study for study in self.studies if study.label not in labels), *other.studies)
        return self.model_copy(update={"nodes": tuple(known.values()), "studies": studies})

    def scan(self, store: Store) -> Scan:
        """Find the records of its nodes."""
        labels = {node.fingerprint: node.label for node in self.nodes}
        return store.scan(labels).under(labels)

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """Read the manifest of an output folder; None where there is none of this version."""
        content = store.read_json(FILE)
        try:
            return None if content is None else cls.model_validate(content)
        except ValidationError:
            return None

    def write(self, store: Store) -> None:
        """Write the manifest into the output folder."""
        store.write_text(FILE, self.model_dump_json(indent=1))


def describe(
    job: Job,
    command: str,
    machines: tuple[str, ...] = (),
    night: str | None = None,
    untimed: str = "",
) -> Manifest:
    """Make the manifest of a job; `machines` and `untimed` as for the manifest."""
    margins = job.sweep.margins
    overall = {"margin": margins["overall"]} if "overall" in margins else {}
    return Manifest(
        sweep=SweepFacts(
            name=job.name,
            model=job.model.id,
            data=Path(job.data).name if Path(job.data).is_absolute() else job.data,
            tasks=tuple(
                TaskFacts(
                    name=task.name,
                    title=task.title,
                    short=task.short,
                    primary=task.primary,
                    margin=margins.get(task.name, task.margin),
                    overall=task.overall,
                    domains=task.domains,
                )
                for task in job.tasks
            ),
            methods=tuple(
                MethodFacts(
                    label=method.label,
                    method=method.name,
                    family=method.family,
                    params=method.model_dump(mode="json"),
                    paper=method.paper,
                )
                for method in job.methods
            ),
            seeds=job.sweep.seeds,
            baseline=job.sweep.baseline,
            command=command,
            config=job.sweep.model_dump(mode="json"),
            **overall,
        ),
        model=job.model.identity(),
        data={name: dict(content) for name, content in job.plan.context.data.items()},
        nodes=tuple(
            ManifestNode(
                fingerprint=node.fingerprint,
                label=node.label,
                task=node.task,
                seed=node.seed,
                row=node.fingerprint in job.plan.rows,
                study=node.fingerprint in job.plan.studies,
            )
            for node in job.plan.nodes.values()
        ),
        latency=job.sweep.latency,
        machines=machines,
        untimed=untimed,
        night=night,
        studies=tuple(map(_study_facts, job.studies)),
        notes=tuple(_notes(job)),
    )


def _study_facts(study: Study) -> StudyFacts:
    experiment = study.experiment()
    return StudyFacts(
        label=study.label,
        study=study.name,
        params=study.model_dump(mode="json"),
        paper=study.paper,
        report=study.report,
        source=experiment.label if experiment else "",
        rows=study.rows,
        sweep_wide=study.sweep_wide,
    )


def _notes(job: Job) -> list[str]:
    notes = []
    if job.data == "bundled":
        notes.append(
            "Bundled sample data, written for demos and tests: nothing here says how methods compare on GLUE."
        )
    if job.model.id == "minilm":
        notes.append(
            "The encoder is MiniLM (6 layers, hidden 384), a sentence-embedding model without an MLM head, "
            "tuned on NLI and question-answer pairs among others; results at its size say nothing against "
            "a paper at BERT's."
        )
    notes += limit_notes(job.sweep.limit, job.tasks)
    return notes


def limit_notes(limit: int | Mapping[str, int] | None, tasks: Iterable[Any]) -> list[str]:
    """Say how many training examples were used, where not all; `tasks` have a `name`."""
    if not limit:
        return []
    by_task = limit if isinstance(limit, Mapping) else {"each task": limit}
    # `--tasks` takes a part of the tasks that limits are given for.
    run = {"each task", *(task.name for task in tasks)}
    shares = [f"{count} training examples of {task}" for task, count in by_task.items() if task in run]
    return [f"Only {', '.join(shares)} were used (`limit`)."] if shares else []


def open_output(target: str, output: str | None = None) -> tuple[Store, Manifest]:
    """Find the output folder and manifest that a sweep file or folder means.

    Args:
        target: a sweep's YAML file, an output folder or URL, or an archive of `leanboard export`.
        output: the output folder, where it is not the sweep's default.

    Raises:
        BadInput: nothing has been run there.
    """
    if target.endswith(".zip"):
        from benchmark.store.archive import open_archive

        if output is not None:
            raise BadInput(
                f"-o {output}: an archive is unpacked below {cache_folder() / 'archives'}; leave -o out"
            )
        return open_archive(Path(target))
    if output is None and (target.endswith((".yaml", ".yml")) or Path(target).is_file()):
        data = yaml_source.read(Path(target)).data
        name = data.get("name") if isinstance(data, dict) else None
        output = f"runs/{name or Path(target).stem}"
    root = output or target
    store = Store(absolute(root), cache_folder())
    manifest = Manifest.read(store)
    if manifest is None:
        raise BadInput(
            f"{root}: nothing was run there by this version (no {FILE}); start with `leanboard run`, or name "
            "the folder with -o"
        )
    return store, manifest
