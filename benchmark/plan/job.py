"""The job: a sweep with every name resolved, ready to be planned, run or reported."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import environment
from benchmark.config.grid import expand, expand_studies
from benchmark.config.sweep import Resources, Sweep
from benchmark.plan.context import Context
from benchmark.plan.plan import InWork, Node, Plan, build
from benchmark.plan.refusals import (
    check_corpus,
    check_devices,
    check_lengths,
    check_names,
    check_works,
    named,
)
from benchmark.store.files import absolute
from benchmark.store.store import Scan, Store
from benchmark.trial.assignment import Assignment
from methods import pretrained, registry
from methods.method import Method
from methods.study import Study
from tasks import loading
from tasks import registry as task_registry
from tasks.cache import cache_folder
from tasks.corpus.declaration import Corpus
from tasks.errors import BadInput, did_you_mean
from tasks.paths import from_home
from tasks.task import Task

REDRAWS = 3
"""How often `collapsed_teacher: redraw` draws a start model again."""


@dataclass(frozen=True)
class Job:
    """A sweep whose methods, tasks, model and data are known to exist."""

    sweep: Sweep
    methods: list[Method]
    tasks: list[Task]
    model: pretrained.Source
    data: str
    """What `datasets.load_dataset` gets: a Hub id, an absolute folder or `bundled`."""
    plan: Plan
    store: Store
    output: str
    offline: bool
    models: dict[str, pretrained.Source] = field(default_factory=dict)
    """The further pretrained models that methods name, by that name."""
    corpus: Corpus | None = None
    """Text for pre-training, located."""
    studies: list[Study] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.sweep.name

    def scan(self) -> Scan:
        """Find the records of this job's nodes."""
        return self.store.scan(self.plan.nodes).under(
            {key: node.label for key, node in self.plan.nodes.items()}
        )

    def missing(self, scan: Scan, targets: Collection[str] | None = None) -> dict[str, Node]:
        """The nodes that must run, given what is in the store; `targets` as for `Plan.missing`."""
        return self.plan.missing(scan.results(), targets)

    def keep(self, labels: Iterable[str]) -> None:
        """Let the trained models of these rows stay in the store.

        Raises:
            BadInput: a label is none of the rows'.
        """
        known = {node.label for node in self.plan.trials()}
        for label in labels:
            if label not in known:
                raise BadInput(f"--keep {label}: no row of this sweep; {did_you_mean(label, known)}")
            self.plan.keep([node.fingerprint for node in self.plan.trials() if node.label == label])

    def resources(self, node: Node) -> Resources:
        """What the node's trial gets."""
        return self.sweep.resources.of(node.work.name)

    def requests(self, nodes: Iterable[Node]) -> dict[str, Resources]:
        """What trials of these nodes ask of the cluster, by the key of the sweep that says so."""
        exceptions = self.sweep.resources.methods
        return {
            f"resources.methods.{node.work.name}"
            if node.work.name in exceptions
            else "resources": self.resources(node)
            for node in nodes
        }

    def assignment(self, node: Node, attempt: str) -> Assignment:
        """What a worker gets to carry out a node."""
        wanted = self.resources(node)
        return Assignment(
            fingerprint=node.fingerprint,
            attempt=attempt,
            label=node.label,
            work=registry.address(type(node.work)),
            params=node.params,
            decides=self.plan.decides(node),
            task=self.plan.tasks.get(node.task),
            seed=node.seed,
            needs=dict(node.needs),
            reads=dict(node.reads),
            keep=node.fingerprint in self.plan.kept,
            model=self.model,
            models={name: self.models[name] for name in node.work.models()},
            data=self.data,
            corpus=self.corpus,
            training=self.plan.context.training_of(node.work),
            limit=self.plan.context.limit_of(node.task),
            selection=self.sweep.selection,
            collapsed_teacher=self.sweep.collapsed_teacher,
            store=self.store.url,
            timeout=self.sweep.timeout,
            cpu=wanted.cpu,
            gpu=wanted.gpu,
            offline=self.offline,
        )


def resolve(
    sweep: Sweep,
    *,
    output: str | None = None,
    methods: Sequence[str] = (),
    offline: bool = False,
) -> Job:
    """Resolve every name of a sweep.

    Args:
        sweep: the validated sweep.
        output: folder or URL of the results; `runs/<name>` by default.
        methods: names or labels to keep; all when empty. The baseline always stays.
        offline: never touch the network.

    Raises:
        BadInput: unknown method, task, field or label; no such model or data.
    """
    everything = expand(sweep)
    studies = expand_studies(sweep)
    configured = _chosen(everything, methods, sweep.baseline)
    tasks = [
        named(task_registry.task, name, sweep.source.where(("tasks", position)), "tasks")
        for position, name in enumerate(sweep.tasks)
    ]
    check_names(sweep, configured, tasks)
    model = pretrained.resolve(sweep.model, folder=sweep.folder, offline=offline)
    models = {
        name: pretrained.resolve(name, folder=sweep.folder, offline=offline)
        for name in sorted({name for work in (*everything, *studies) for name in work.models()})
    }
    check_works(sweep, [*configured, *studies], tasks, model, models)
    check_devices(sweep)
    data = _data_source(sweep)
    corpus = sweep.corpus.located(sweep.folder) if sweep.corpus else None
    training = environment.resolve(sweep.train, sweep.resources.gpu)
    context = Context(
        model=model.identity(),
        data={task.name: loading.identity(task, data) for task in tasks},
        training=training,
        training_by_method={
            name: environment.resolve(sweep.train, sweep.resources.of(name).gpu)
            for name in sweep.resources.methods
        },
        limit=sweep.limit,
        selection=sweep.selection,
        models={name: source.identity() for name, source in models.items()},
        redraws=REDRAWS if sweep.collapsed_teacher == "redraw" else 0,
        corpus=corpus.identity() if corpus else None,
    )
    try:
        plan = build(configured, tasks, sweep.seeds, context, sweep=everything, studies=studies)
    except InWork as error:
        raise BadInput(f"{sweep.source.where_is(error.label)}: {error}") from None
    except BadInput as error:
        raise BadInput(f"{sweep.source.where(())}: {error}") from None
    check_corpus(sweep, plan)
    check_lengths(sweep, model, models, plan, context)
    root = absolute(output or f"runs/{sweep.name}")
    return Job(
        sweep=sweep,
        methods=configured,
        tasks=tasks,
        model=model,
        data=data,
        plan=plan,
        store=Store(root, cache_folder()),
        output=root,
        offline=offline,
        models=models,
        corpus=corpus,
        studies=studies,
    )


def _chosen(configured: list[Method], wanted: Sequence[str], baseline: str) -> list[Method]:
    """The rows that labels or names mean, and the baseline; a name that is a label means that row alone."""
    if not wanted:
        return configured
    labels, names = {method.label for method in configured}, {method.name for method in configured}
    for name in wanted:
        if name not in labels | names:
            raise BadInput(f"--methods {name}: not in this sweep; {did_you_mean(name, labels | names)}")
    kept = {*wanted, baseline} & labels
    whole = set(wanted) - labels
    return [method for method in configured if method.label in kept or method.name in whole]


def _data_source(sweep: Sweep) -> str:
    if sweep.data == "bundled":
        return "bundled"
    folder = sweep.folder / from_home(sweep.data)
    if folder.is_dir():
        return str(folder.resolve())
    # A folder of that name here would be another one, or none, where workers run.
    if sweep.data.startswith((".", "/", "~")) or Path(sweep.data).is_dir():
        raise BadInput(f"data: no folder {folder}; relative names start at the sweep file's folder")
    return sweep.data
