"""Joining: outputs of one sweep whose tasks were run apart become one output."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.plan.plan import NO_TASK
from benchmark.store.archive import pack, unpack
from benchmark.store.files import absolute
from benchmark.store.manifest import FILE, Manifest
from benchmark.store.store import Store
from reports.board import MethodFacts
from tasks.errors import BadInput

_FREE = ("train.precision", "train.device")
"""Settings that tasks may differ in: no row is compared with one of another task."""


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
        BadInput: parts differ in more than that, a task is in two of them, one has no record, or there is
            a sweep in the output.
    """
    target = Store(absolute(output))
    if target.read_json(FILE) is not None:
        raise BadInput(f"-o {output}: holds a sweep already; name a new folder")
    if len(parts) < 2:
        raise BadInput(f"{parts[0].name}: is one part only; name two outputs or archives, or more")
    for part in parts[1:]:
        _check(parts[0], part)
    seen: dict[str, str] = {}
    for part in parts:
        for task in part.manifest.sweep.tasks:
            if task.name in seen:
                raise BadInput(
                    f"{task.name}: is in {seen[task.name]} and in {part.name}; run one of them again with -t "
                    "for its other tasks, which repeats no trial, and join then"
                )
            seen[task.name] = part.name
    precisions = [_carry(part, target) for part in parts]
    joined = _joined(parts, precisions, command)
    joined.write(target)
    return target, joined


def _check(one: Part, two: Part) -> None:
    """Refuse parts whose rows of one label would not be one method, trained in one way."""
    here, there = one.manifest.sweep, two.manifest.sweep
    own, other = _settings(one.manifest), _settings(two.manifest)
    for key, value in own.items():
        if value != other.get(key):
            raise BadInput(
                f"{key}: {value} in {one.name} and {other.get(key)} in {two.name}; only tasks of one sweep "
                "can be joined"
            )
    methods = {method.label: method for method in here.methods}
    for method in there.methods:
        if method.label in methods:
            _merged(methods[method.label], method, [task.name for task in there.tasks])
    shared = [{n.label: n.fingerprint for n in p.manifest.nodes if n.task == NO_TASK} for p in (one, two)]
    for label in shared[0].keys() & shared[1].keys():
        if shared[0][label] != shared[1][label]:
            raise BadInput(f"{label}: {one.name} and {two.name} have different ones, which tasks would share")


def _settings(manifest: Manifest) -> dict[str, Any]:
    """What parts must have in common."""
    sweep = manifest.sweep
    train = {f"train.{key}": value for key, value in sweep.config["train"].items()}
    return {
        "model": manifest.model,
        "baseline": sweep.baseline,
        "seeds": list(sweep.seeds),
        "selection": sweep.config["selection"],
        **{key: value for key, value in train.items() if key not in _FREE},
    }


def _merged(one: MethodFacts, two: MethodFacts, tasks: Sequence[str]) -> MethodFacts:
    """One row of two parts: of numbers by task the second has those of its own tasks.

    Raises:
        BadInput: a field differs; one that only a newer version knows has its default, or shows in the label.
    """
    params: dict[str, Any] = dict(one.params)
    for name, value in two.params.items():
        known = params.setdefault(name, value)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            params[name] = {**known, **{task: value[task] for task in tasks if task in value}}
        elif known != value:
            raise BadInput(f"{one.label}: {name} is {known} in one part and {value} in another")
    return one.model_copy(update={"params": params})


def _carry(part: Part, target: Store) -> str:
    """Bring a part's records into the output; return the precision they were made in."""
    with tempfile.TemporaryDirectory(prefix="leanboard-") as folder:
        archive = Path(folder, "part.zip")
        pack(part.store, part.manifest, archive)
        unpack(archive, target)
    rows = part.manifest.rows()
    records = part.manifest.scan(part.store).records.values()
    found = {str(r.environment.get("precision", "unknown")) for r in records if r.fingerprint in rows}
    return " and ".join(sorted(found))


def _joined(parts: Sequence[Part], precisions: Sequence[str], command: str) -> Manifest:
    manifest = parts[0].manifest
    for part in parts[1:]:
        manifest = _both(manifest, part.manifest)
    where = "; ".join(
        f"{', '.join(task.name for task in part.manifest.sweep.tasks)} in {precision}"
        for part, precision in zip(parts, precisions, strict=True)
    )
    note = f"Tasks were run apart and joined: {where}. Changes are between rows of one task and precision."
    sweep = manifest.sweep.model_copy(update={"command": command})
    return manifest.model_copy(update={"sweep": sweep, "notes": (*manifest.notes, note)})


def _both(one: Manifest, two: Manifest) -> Manifest:
    methods = {method.label: method for method in one.sweep.methods}
    names = [task.name for task in two.sweep.tasks]
    for method in two.sweep.methods:
        own = methods.get(method.label, method)
        methods[method.label] = _merged(own, method, names)
    tasks = (*one.sweep.tasks, *two.sweep.tasks)
    config = one.sweep.config | {"tasks": [task.name for task in tasks]}
    sweep = one.sweep.model_copy(
        update={"methods": tuple(methods.values()), "tasks": tasks, "config": config}
    )
    nodes = {node.fingerprint: node for node in (*one.nodes, *two.nodes)}
    studies = {study.label: study for study in (*one.studies, *two.studies)}
    return one.model_copy(
        update={
            "sweep": sweep,
            "data": one.data | two.data,
            "nodes": tuple(nodes.values()),
            "latency": one.latency or two.latency,
            "machines": tuple(dict.fromkeys((*one.machines, *two.machines))),
            "untimed": one.untimed or two.untimed,
            "studies": tuple(studies.values()),
            "notes": tuple(dict.fromkeys((*one.notes, *two.notes))),
        }
    )
