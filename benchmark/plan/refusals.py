"""Checks that reject a sweep before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from benchmark.config.sweep import Sweep
from benchmark.plan.context import Context
from benchmark.plan.plan import Plan
from methods import pretrained, registry
from methods.architectures import KNOWN
from methods.method import Method, Work
from methods.settings import ByTask
from tasks import registry as task_registry
from tasks.errors import BadInput, did_you_mean
from tasks.task import Task

Found = TypeVar("Found")


def check_names(sweep: Sweep, methods: list[Method], tasks: list[Task]) -> None:
    """Refuse names that mean nothing: of tasks, methods and the baseline.

    Raises:
        BadInput: with the line, and what was meant.
    """
    where = sweep.source.where
    labels = [method.label for method in methods]
    if sweep.baseline not in labels:
        raise BadInput(
            f"{where(('baseline',))}: baseline: {sweep.baseline!r} is not among the methods; "
            f"{did_you_mean(sweep.baseline, labels)}"
        )
    if len({task.name for task in tasks}) < len(tasks):
        raise BadInput(f"{where(('tasks',))}: tasks: {', '.join(sweep.tasks)} names a task twice")
    # Of all tasks, not of this sweep's: `--tasks` takes a part of them.
    known = {*task_registry.tasks(), "overall"}
    for key in sweep.margins:
        if key not in known:
            raise BadInput(
                f"{where(('margins', key))}: margins: {key!r} is no task; {did_you_mean(key, known)}"
            )
    known -= {"overall"}
    for key in sweep.limit if isinstance(sweep.limit, dict) else ():
        if key not in known:
            raise BadInput(f"{where(('limit', key))}: limit: {key!r} is no task; {did_you_mean(key, known)}")
    for method in methods:
        for name, value in method:
            for key in value.root if isinstance(value, ByTask) else ():
                if key not in known:
                    raise BadInput(
                        f"{where(('methods',))}: {method.name}: {name}: {key!r} is no task; "
                        f"{did_you_mean(key, known)}"
                    )
    for key in sweep.resources.methods:
        named(registry.find, key, where(("resources", "methods", key)), "resources.methods")


def check_works(
    sweep: Sweep,
    works: list[Work],
    tasks: list[Task],
    model: pretrained.Source,
    models: dict[str, pretrained.Source],
) -> None:
    """Refuse an encoder of an unknown kind, and works that do not fit it, a task or the training settings.

    Raises:
        BadInput: with the label, and what to do.
    """
    if (kind := model.config().get("model_type")) and kind not in KNOWN:
        raise BadInput(
            f"{sweep.source.where(('model',))}: model: the layers and heads of a {kind!r} model are not "
            f"known; choose an encoder of one of these kinds: {', '.join(KNOWN)}"
        )
    layers = model.layers()
    for work in works:
        try:
            for task in tasks:
                work.check(task, layers)
            work.check_models(model, models)
            work.check_training(sweep.train)
        except BadInput as error:
            raise BadInput(f"{sweep.source.where_is(work.label)}: {work.label}: {error}") from None


def check_devices(sweep: Sweep) -> None:
    """Refuse a GPU that trials use and do not reserve, and one that they reserve and do not use.

    Without a share Ray would start a trial for every CPU, all of them on the first GPU.

    Raises:
        BadInput: with the key and what to write.
    """
    device, resources = sweep.train.device, sweep.resources
    for name in ("", *resources.methods):
        key = ("resources", "methods", name, "gpu") if name else ("resources", "gpu")
        gpus = resources.of(name).gpu
        if device == "cuda" and gpus == 0:
            advice = "say how much of one a trial gets, e.g. gpu: 1, or leave train.device at auto"
        elif device in ("cpu", "mps") and gpus > 0:
            advice = "nothing would run on it; say gpu: 0, or leave train.device at auto"
        else:
            continue
        where = sweep.source.where(key if name else ("train", "device"))
        raise BadInput(f"{where}: train.device is {device}, and {'.'.join(key)} is {gpus:g}: {advice}")


def check_corpus(sweep: Sweep, plan: Plan) -> None:
    """Refuse works that learn from text where the sweep has none.

    Raises:
        BadInput: with what to give.
    """
    readers = [node.label for node in plan.nodes.values() if node.work.uses_corpus()]
    if readers and sweep.corpus is None:
        raise BadInput(
            f"{sweep.source.where(())}: corpus: missing, but {readers[0]} learns from text; give a "
            "folder of .txt files, one paragraph a line and a blank line between documents"
        )


def check_lengths(
    sweep: Sweep,
    model: pretrained.Source,
    models: dict[str, pretrained.Source],
    plan: Plan,
    context: Context,
) -> None:
    """Refuse texts longer than an encoder takes, which only trials or the timing after them would see.

    Raises:
        BadInput: with the key and the most there may be.
    """
    asked_for = {("train", "max_length"): sweep.train.max_length}
    # Nobody asked for the default, and a sweep is worth running without its times.
    if sweep.latency and "length" in sweep.latency.model_fields_set:
        asked_for["latency", "length"] = sweep.latency.length
    for source in (model, *models.values()):
        most = source.positions()
        for key, asked in asked_for.items():
            if most and asked > most:
                raise BadInput(
                    f"{sweep.source.where(key)}: {'.'.join(key)}: {asked} is more than the {most} tokens "
                    f"{source.id!r} takes; give {most} or less"
                )
    for work in {node.label: node.work for node in plan.trials()}.values():
        made = {need.name: need for need in work.prerequisites() if isinstance(need, Work)}
        length = getattr(made.get(work.encoder() or ""), "length", None)
        asked = context.training_of(work).max_length
        if length is not None and asked > length:
            raise BadInput(
                f"{sweep.source.where(('train', 'max_length'))}: train.max_length: {asked} is more than the "
                f"{length} tokens that {work.label} is pre-trained for; lower it, or raise `length` there"
            )


def named(find: Callable[[str], Found], name: str, where: str, key: str) -> Found:
    """Find a method or task by its name.

    Raises:
        BadInput: there is none, with the line and the key.
    """
    try:
        return find(name)
    except BadInput as error:
        raise BadInput(f"{where}: {key}: {error}") from None
