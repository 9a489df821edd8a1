"""Joining: outputs of one sweep whose tasks were run apart become one output."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark.plan.plan import NO_TASK
from benchmark.store import origins
from benchmark.store.archive import pack, unpack
from benchmark.store.files import absolute
from benchmark.store.manifest import FILE, Manifest, limit_notes
from benchmark.store.store import Scan, Store
from reports.board import MethodFacts, SweepFacts
from reports.flatten import flatten
from reports.record import Record
from tasks.errors import BadInput

_BY_TASK = ("task", "data", "limit", "seed", "needs")
_FREE = ("train.precision", "train.device", "params.learning_rate")
"""What decides a trial and may differ between tasks; rates by task are those of the label."""
_NOTE = "Tasks were run apart and joined: "


@dataclass(frozen=True)
class Part:
    """An output or archive to be joined, under the name the user gave it."""

    name: str
    store: Store
    manifest: Manifest


def join(parts: Sequence[Part], output: str, command: str) -> tuple[Store, Manifest]:
    """Write the records of all parts, weights left out, and one manifest into a new output folder.

    Every comparison is made within a task, so each task keeps the precision and processor of its part; an
    average over tasks is one of paired changes.

    Args:
        parts: of one sweep, each task in one of them.
        output: folder or URL; there is no sweep in it yet.
        command: what makes the output again.

    Raises:
        BadInput: parts differ in more than that, a task is in two of them, one has no record or a damaged
            one, or the output cannot be written or holds a sweep. Nothing has been written then.
    """
    target = _target(output)
    if len(parts) < 2:
        raise BadInput(f"{parts[0].name}: is one part only; name two outputs or archives, or more")
    scans = [part.manifest.scan(part.store) for part in parts]
    for part, scan in zip(parts, scans, strict=True):
        _check_whole(part, scan)
    for (one, first), (two, second) in combinations(zip(parts, scans, strict=True), 2):
        _check_tasks(one, two)
        _check_sweeps(one, two)
        _check_trials(one, first, two, second)
    manifest = _joined(parts, scans, Path(output).name, command)
    for part in parts:
        _carry(part, target)
    manifest.write(target)
    return target, manifest


def _target(output: str) -> Store:
    if output.endswith((".zip", ".yaml", ".yml")):
        raise BadInput(f"-o {output}: is to be a folder; `leanboard export` makes an archive of it then")
    target = Store(absolute(output))
    target.probe()
    if target.read_json(FILE) is not None:
        raise BadInput(f"-o {output}: holds a sweep already; name a new folder")
    return target


def _check_whole(part: Part, scan: Scan) -> None:
    if not scan.records:
        raise BadInput(f"{part.name}: has no finished trial; leave it out")
    for key, reason in scan.damaged.items():
        raise BadInput(f"{part.name}: record {key[:12]} is damaged: {reason}; `leanboard run` makes it again")


def _check_tasks(one: Part, two: Part) -> None:
    tasks = {task.name for task in one.manifest.sweep.tasks}
    for task in two.manifest.sweep.tasks:
        if task.name in tasks:
            raise BadInput(
                f"{task.name}: is in {one.name} and in {two.name}; run one of them again with -t for its "
                "other tasks, an archive with --records into a new output: no trial is repeated"
            )


def _check_sweeps(one: Part, two: Part) -> None:
    """Refuse parts of different sweeps; the trials say the rest."""
    own, other = _settings(one.manifest.sweep), _settings(two.manifest.sweep)
    for key, value in own.items():
        if other.get(key, value) != value:
            raise _different(key, one, value, two, other[key])
    rows = {method.label: method for method in one.manifest.sweep.methods}
    for method in two.manifest.sweep.methods:
        known = rows.get(method.label, method)
        for name in known.params.keys() & method.params.keys():
            numbers = known.params[name], method.params[name]
            if numbers[0] != numbers[1] and not all(map(_is_by_task, numbers)):
                raise _different(f"{method.label}: {name}", one, numbers[0], two, numbers[1])


def _settings(sweep: SweepFacts) -> dict[str, Any]:
    """What parts have in common beside their trials; what one does not set may be as in the other."""
    written = {key: sweep.config.get(key) for key in ("collapsed_teacher", "latency")}
    return {
        "baseline": sweep.baseline,
        "seeds": list(sweep.seeds),
        "data": sweep.data,
        "margins.overall": sweep.margin,
        **{key: value for key, value in written.items() if value is not None},
    }


def _is_by_task(value: Any) -> bool:
    from tasks import registry

    return isinstance(value, Mapping) and value.keys() <= registry.tasks().keys()


def _check_trials(one: Part, first: Scan, two: Part, second: Scan) -> None:
    """Refuse rows of one label that are not one method, and encoders that each part made for itself."""
    here, there = _by_label(first.records.values()), _by_label(second.records.values())
    for label in here.keys() & there.keys():
        own, other = here[label], there[label]
        if own.kind == "study":
            continue
        if own.task == NO_TASK and (own.fingerprint, own.ended) != (other.fingerprint, other.ended):
            raise BadInput(
                f"{label}: {one.name} and {two.name} each trained one; run the tasks of one of them again in "
                "the other's output"
            )
        mine, its = _decides(own), _decides(other)
        for key in mine.keys() & its.keys():
            if mine[key] != its[key]:
                raise _different(f"{label}: {key}", one, mine[key], two, its[key])


def _by_label(records: Iterable[Record]) -> dict[str, Record]:
    return {record.label: record for record in records}


def _decides(record: Record) -> dict[str, Any]:
    content = {key: value for key, value in record.decides.items() if key not in _BY_TASK}
    return {key: value for key, value in flatten(content).items() if key not in _FREE}


def _different(key: str, one: Part, value: Any, two: Part, other: Any) -> BadInput:
    return BadInput(
        f"{key}: {value} in {one.name} and {other} in {two.name}; only tasks of one sweep can be joined: run "
        "one of them again with the other's settings"
    )


def _joined(parts: Sequence[Part], scans: Sequence[Scan], name: str, command: str) -> Manifest:
    manifests = [part.manifest for part in parts]
    sweeps = [manifest.sweep for manifest in manifests]
    tasks = tuple(task for sweep in sweeps for task in sweep.tasks)
    methods: dict[str, MethodFacts] = {}
    for sweep in sweeps:
        for method in sweep.methods:
            methods[method.label] = _merged(methods.get(method.label, method), method, sweep)
    limit = {task: count for sweep in sweeps for task, count in _limits(sweep).items()}
    changes = {
        "name": name,  # Its runs in MLflow stand beside those of its parts.
        "tasks": tasks,
        "methods": tuple(methods.values()),
        "command": command,
        "config": _common(sweeps) | {"tasks": [task.name for task in tasks], "limit": limit or None},
    }
    return Manifest(
        sweep=sweeps[0].model_copy(update=changes),
        model=manifests[0].model,
        data={task: content for manifest in manifests for task, content in manifest.data.items()},
        nodes=tuple({node.fingerprint: node for each in manifests for node in each.nodes}.values()),
        latency=next((each.latency for each in manifests if each.latency), None),
        machines=tuple(dict.fromkeys(machine for each in manifests for machine in each.machines)),
        untimed="the parts were not all timed on one machine",
        studies=tuple({study.label: study for each in manifests for study in each.studies}.values()),
        notes=tuple(dict.fromkeys((*_notes(parts, scans), *limit_notes(limit, tasks)))),
    )


def _merged(one: MethodFacts, two: MethodFacts, sweep: SweepFacts) -> MethodFacts:
    """One row of two parts: of numbers by task the second has those of the tasks of its sweep."""
    params: dict[str, Any] = {**two.params, **one.params}
    for name, value in two.params.items():
        if params[name] != value:  # Checked to be numbers by task.
            params[name] = {**params[name], **{task.name: value[task.name] for task in sweep.tasks}}
    return one.model_copy(update={"params": params})


def _limits(sweep: SweepFacts) -> dict[str, int]:
    """Training examples of each task that has a limit."""
    limit = sweep.config.get("limit") or {}
    names = [task.name for task in sweep.tasks]
    by_task = limit if isinstance(limit, Mapping) else dict.fromkeys(names, limit)
    return {name: by_task[name] for name in names if name in by_task}


def _common(sweeps: Sequence[SweepFacts]) -> dict[str, Any]:
    """Settings that all parts agree in."""
    first, *others = [sweep.config for sweep in sweeps]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _notes(parts: Sequence[Part], scans: Sequence[Scan]) -> list[str]:
    """What the parts' pages say and still holds, and which task was run in what."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    notes: list[str] = []
    for part, scan in zip(parts, scans, strict=True):
        sweep = part.manifest.sweep
        out_of_date = limit_notes(sweep.config.get("limit"), sweep.tasks)
        notes += [n for n in part.manifest.notes if n not in out_of_date and not n.startswith(_NOTE)]
        notes += origins.changed_start_models(scan.records.values())  # Weights, and this, stay behind.
        for key in part.manifest.rows().keys() & scan.records.keys():
            record = scan.records[key]
            found[record.task].add(str(record.environment.get("precision", "a precision not recorded")))
    where = "; ".join(f"{task} in {' and '.join(sorted(each))}" for task, each in sorted(found.items()))
    return [*notes, f"{_NOTE}{where}. Changes are between rows of one task."]


def _carry(part: Part, target: Store) -> None:
    with tempfile.TemporaryDirectory(prefix="leanboard-") as folder:
        archive = Path(folder, "part.zip")
        pack(part.store, part.manifest, archive)
        unpack(archive, target)
    for failure in part.store.failures(part.manifest.targets().keys()).values():
        target.fail(failure)
