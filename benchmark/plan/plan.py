"""The plan: every trial of a sweep and the prerequisites they share, a DAG of fingerprinted nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.plan.context import Context
from benchmark.plan.fingerprint import fingerprint
from methods import registry
from methods.method import Method, SweepPrerequisite, Work
from methods.study import Study
from reports.record import trial_name
from tasks.errors import BadInput
from tasks.task import Task

NO_TASK = "-"
"""Stands for the task of a node that belongs to the whole sweep; its seed is 0."""


class InWork(BadInput):
    """Bad input in the entry of one method or study, whose label tells where it stands."""

    def __init__(self, label: str, problem: str) -> None:
        super().__init__(f"{label}: {problem}")
        self.label = label


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of work on one task with one seed, or for the whole sweep."""

    fingerprint: str
    work: Work
    task: str
    """`NO_TASK` for what belongs to the whole sweep."""
    seed: int
    needs: tuple[tuple[str, str], ...]
    """(name, fingerprint) of each prerequisite, whose files it starts from."""
    reads: tuple[tuple[str, str], ...] = ()
    """(name or label, fingerprint) of each method whose notes alone it reads."""

    @property
    def builds_on(self) -> tuple[str, ...]:
        """Fingerprints of the nodes that must be done before this one."""
        return tuple(need for _, need in self.needs + self.reads)

    @property
    def label(self) -> str:
        """The label of its work."""
        return self.work.label

    @property
    def params(self) -> dict[str, Any]:
        """The fields of its work as JSON; of numbers given by task, that of this task."""
        return self.work.for_task(self.task).model_dump(mode="json")

    @property
    def name(self) -> str:
        """Label, task and seed: how logs, commands and progress call this node."""
        return trial_name(self.label, self.task, self.seed)


@dataclass
class Plan:
    """Nodes by fingerprint, prerequisites before what needs them."""

    context: Context
    tasks: dict[str, Task]
    nodes: dict[str, Node] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    """Fingerprints of the trials that stand on the leaderboard."""
    studies: set[str] = field(default_factory=set)
    """Fingerprints of the trials that studies are made of."""
    kept: set[str] = field(default_factory=set)
    """Fingerprints whose weights stay: other nodes need them, or they were asked for."""
    asked: set[str] = field(default_factory=set)
    """Fingerprints of rows whose weights were asked for."""

    def decides(self, node: Node) -> dict[str, Any]:
        """Everything that decides the node's result: the content of its fingerprint."""
        return self.context.decides(self.tasks.get(node.task), node.work, node.seed, node.needs + node.reads)

    @property
    def targets(self) -> set[str]:
        """What all the rest is run for."""
        return self.rows | self.studies

    def trials(self) -> Iterator[Node]:
        """The nodes that stand on the leaderboard."""
        return (node for node in self.nodes.values() if node.fingerprint in self.rows)

    def needed(self, targets: Collection[str]) -> dict[str, Node]:
        """Return the nodes of `targets` and all that they build on, done or not."""
        wanted, stack = set[str](), list(targets)
        while stack:
            current = stack.pop()
            if current not in wanted:
                wanted.add(current)
                stack.extend(self.nodes[current].builds_on)
        return {key: node for key, node in self.nodes.items() if key in wanted}

    def keep(self, keys: Collection[str]) -> None:
        """Let the weights of these rows stay; one whose record has none is missing until it has."""
        self.asked.update(keys)
        self.kept.update(keys)

    def missing(self, done: Mapping[str, bool], targets: Collection[str] | None = None) -> dict[str, Node]:
        """Return the nodes to run: targets without a record, and their missing prerequisites.

        Args:
            done: for every fingerprint with a whole record, whether that record holds weights.
            targets: what is to be there in the end; rows and studies by default.
        """
        wanted: set[str] = set()
        stack = [
            target
            for target in (self.targets if targets is None else targets)
            if not done.get(target, False) and (target not in done or target in self.asked)
        ]
        while stack:
            current = stack.pop()
            if current in wanted:
                continue
            wanted.add(current)
            stack.extend(need for _, need in self.nodes[current].needs if not done.get(need, False))
            stack.extend(need for _, need in self.nodes[current].reads if need not in done)
        return {key: node for key, node in self.nodes.items() if key in wanted}


def build(
    methods: Iterable[Method],
    tasks: Iterable[Task],
    seeds: Iterable[int],
    context: Context,
    *,
    sweep: Iterable[Method] = (),
    studies: Iterable[Study] = (),
) -> Plan:
    """Lay out methods x tasks x seeds with their prerequisites, and the trials of studies.

    Args:
        methods: the rows of the leaderboard.
        tasks: what they are run on.
        seeds: how often.
        context: what all nodes share.
        sweep: every method of the sweep, where `methods` is a choice of them; others may read their notes.
        studies: those made of trials of their own, one per task and seed unless one in all is enough.

    Raises:
        BadInput: a method reads another by a name that several bear, or that reads it in turn.
    """
    plan = Plan(context, {task.name: task for task in tasks})
    methods, seeds = list(methods), list(seeds)
    layout = _Layout(plan, list(sweep) or methods)
    for task in plan.tasks:
        for seed in seeds:
            for method in methods:
                plan.rows.add(layout.node(method, task, seed).fingerprint)
    for study in studies:
        pairs = [(task, seed) for task in plan.tasks for seed in seeds]
        experiment = study.experiment()
        for task, seed in pairs[:1] if study.once else pairs:
            if experiment:
                plan.studies.add(layout.node(experiment, task, seed).fingerprint)
    return plan


@dataclass
class _Layout:
    """Adds nodes to a plan, each once."""

    plan: Plan
    sweep: list[Method]
    known: dict[tuple[str, str, int], Node] = field(default_factory=dict)
    standards: dict[str, Work] = field(default_factory=dict)
    making: list[str] = field(default_factory=list)

    def node(self, work: Work, task: str, seed: int) -> Node:
        if isinstance(work, SweepPrerequisite):
            task, seed = NO_TASK, 0
        key = (work.label, task, seed)
        if key not in self.known:
            if work.label in self.making:
                raise BadInput(
                    f"methods read each other in a circle: {' -> '.join([*self.making, work.label])}"
                )
            self.making.append(work.label)
            self.known[key] = self._make(work, task, seed)
            self.making.pop()
        return self.known[key]

    def _make(self, work: Work, task: str, seed: int) -> Node:
        needs = []
        for wanted in work.prerequisites():
            need = self.node(self._standard(wanted) if isinstance(wanted, str) else wanted, task, seed)
            self.plan.kept.add(need.fingerprint)
            needs.append((need.work.name, need.fingerprint))
        reads = []
        for key in work.reads():
            other = self._read(work, key)
            _check_read(work, key, other)
            reads.append((key, self.node(other, task, seed).fingerprint))
        content = self.plan.context.decides(self.plan.tasks.get(task), work, seed, (*needs, *reads))
        node = Node(fingerprint(content), work, task, seed, tuple(needs), tuple(reads))
        known = self.plan.nodes.setdefault(node.fingerprint, node)
        if known.label != node.label:
            raise BadInput(
                f"{known.label} and {node.label} are one and the same on {task}; leave one out of the sweep"
            )
        return known

    def _standard(self, name: str) -> Work:
        """The work others start from: always with default fields, whatever grid the sweep runs of it."""
        # Finding a work looks through all installed packages, which takes 10 ms.
        if name not in self.standards:
            self.standards[name] = registry.find(name)()
        return self.standards[name]

    def _read(self, reader: Work, key: str) -> Work:
        """The method of the sweep that `key` means."""
        labelled = [method for method in self.sweep if method.label == key]
        found = labelled or [method for method in self.sweep if method.name == key]
        if len(found) > 1:
            labels = " or ".join(method.label for method in found)
            raise InWork(reader.label, f"{key!r} could be {labels}; name one in full")
        try:
            return found[0] if found else self._standard(key)
        except BadInput as error:
            raise InWork(reader.label, str(error)) from None


def _check_read(work: Work, key: str, other: Work) -> None:
    try:
        work.check_read(key, other)
    except BadInput as error:
        raise InWork(work.label, str(error)) from None
