"""The contract of a method: one class whose fields are its hyper-parameters, and one verb."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from methods.settings import ByTask, Settings, Training
from tasks.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.pretrained import Source
    from methods.run import Run, SweepRun
    from tasks.task import Task

Family = Literal["baseline", "pruning", "distillation", "sharing", "prerequisite", "study"]


@dataclass(frozen=True)
class Size:
    """What is known of a node's data and encoder before anything runs; an upper bound where data decide."""

    examples: int
    """Examples of train′."""
    tokens: int
    """Tokens of each at most."""
    layers: int
    """Of the encoder that the node starts from."""
    hidden: int
    """Width of its hidden states."""
    heads: int
    """Attention heads in each of its layers."""
    classes: int
    """Of the task."""
    weights: int
    """Bytes of the encoder's weights."""


class Work(Settings):
    """What a node of the plan does: a method, or a prerequisite that methods build on.

    Class arguments:
        name: the key in a sweep.
        family: where it stands on the leaderboard.
        paper: the source, as `authors, venue year, arXiv id`.
        version: raised whenever results change; part of the fingerprint.
        needs: names of the works (with default fields) whose results it starts from.

    Modules that hold a work import torch inside functions only: listing, planning and a finished sweep
    must answer without it.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    paper: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[tuple[str, ...]]
    removes_heads: ClassVar[bool] = False
    """Whether its notes hold `removed_heads`, numbers by layer, so that others can be like it."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Fields added since records of this version were made: at their default they are left out of the
    fingerprint, so that those records stay valid."""

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        family: Family = "baseline",
        paper: str = "",
        version: int = 1,
        needs: tuple[str, ...] = (),
    ) -> None:
        super().__init_subclass__()
        if name:
            cls.name, cls.family, cls.paper, cls.version, cls.needs = name, family, paper, version, needs

    def revision(self) -> int:
        """`version`; overridden where a change touches the results of some fields alone."""
        return self.version

    def prerequisites(self) -> tuple[str | Work, ...]:
        """The works whose files this one starts from; overridden where fields decide.

        A name stands for that work with default fields, a work for itself. The run finds the files under the
        work's name in `results`.
        """
        return self.needs

    def reads(self) -> tuple[str, ...]:
        """Labels, or names, of methods of the same sweep whose notes this one reads; it needs no weights.

        Where several methods of the sweep share a name, a label must be given; a name that no method of
        the sweep has stands for that method with default fields. The run finds the notes under the same
        key in `notes_of`.
        """
        return ()

    def models(self) -> tuple[str, ...]:
        """Further pretrained models it loads: ids on the Hub or folders; the run finds them in `models`."""
        return ()

    def uses_corpus(self) -> bool:
        """Whether it learns from the sweep's `corpus`, which the run then has."""
        return False

    def disk_bytes(self, size: Size) -> int:
        """Bytes of the files that are kept for others to start from, at most."""
        return size.weights

    def encoder(self) -> str | None:
        """Where the encoder and its tokenizer come from; None is the sweep's `model`.

        The name of one of its `prerequisites`, which left both in its folder `model`, or one of its `models`.
        The run's examples are tokenised for it, and `run.pretrained` gives it.
        """
        return None

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse fields that cannot work on this task or with the sweep's encoder, before anything is run.

        Args:
            task: one of the sweep's.
            layers: of the sweep's encoder; None where its configuration is not on this machine yet.

        Raises:
            BadInput: with what to do.
        """

    def check_training(self, training: Training) -> None:
        """Refuse fields that do not fit the sweep's training settings, before anything is run.

        Raises:
            BadInput: with what to do.
        """

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Refuse further pretrained models that do not fit the sweep's, before anything is run.

        Args:
            model: the sweep's encoder.
            models: those of `models()`, by their names. What is not on this machine yet cannot be asked.

        Raises:
            BadInput: with what to do.
        """

    def check_read(self, key: str, other: Work) -> None:
        """Refuse one of `reads()` whose notes are not what this work needs, before anything is run.

        Args:
            key: what `reads()` calls it.
            other: the method of the sweep it stands for.

        Raises:
            BadInput: with what to do.
        """

    def cost(self) -> float:
        """Rough cost in units of one fine-tuning of the whole model, to start long trials first."""
        return 1.0

    def for_task(self, task: str) -> Self:
        """This work as it is run on one task: of numbers given by task, that task's.

        Raises:
            BadInput: one is given for other tasks only.
        """
        by_task = {name: value.root for name, value in self if isinstance(value, ByTask)}
        for name, numbers in by_task.items():
            if task not in numbers:
                raise BadInput(
                    f"{self.name}: {name} is given for {', '.join(numbers) or 'no task'} and not for {task}; "
                    "name every task of the sweep, or give one number"
                )
        return self.model_copy(update={name: numbers[task] for name, numbers in by_task.items()})

    def deciding(self) -> dict[str, Any]:
        """Fields as JSON that a fingerprint holds: all, but `later` ones at their default."""
        later = {name for each in type(self).__mro__ for name in each.__dict__.get("later", ())}
        fields = self.model_dump(mode="json")
        for name in later - self.changed().keys():
            del fields[name]
        within = {name: value.deciding() for name, value in self if isinstance(value, Work)}
        return fields | within

    def changed(self) -> dict[str, Any]:
        """Fields that are not at their default, in order of declaration."""
        fields = type(self).model_fields
        return {name: value for name, value in self if value != _default(fields[name])}

    @property
    def label(self) -> str:
        """Name plus non-default fields, e.g. `sixteen-heads:heads=0.5`; safe in a shell.

        Fields of a work within a work are written `encoder.share=none`.
        """
        fields = ",".join(_pairs(self))
        return f"{self.name}:{fields}" if fields else self.name


def _pairs(work: Work, prefix: str = "") -> Iterator[str]:
    """Each non-default field as a label shows it."""
    for name, value in work.changed().items():
        inner = _default(type(work).model_fields[name])
        if isinstance(value, Work) and type(value) is type(inner):
            yield from _pairs(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={_shown(value)}"


def _default(field: FieldInfo) -> Any:
    # get_default copies, and labels are asked for at every node of a plan.
    if field.default_factory is None:
        return field.default
    return field.get_default(call_default_factory=True, validated_data={})


def _shown(value: Any) -> str:
    """A field's value as a label shows it, other values otherwise: `0.5`, `10`, `1+2`, `a:1+b:2`.

    What a shell, or a label, would read as something else is percent-encoded; what is nested deeper is JSON.
    """
    if isinstance(value, str):
        return _quoted(value, safe="/:=@")
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, tuple) and value and all(map(_is_plain, value)):
        return "+".join(map(_shown, value))
    if isinstance(value, Settings):
        value = {name: inner for name, inner in value if inner is not None}
    if isinstance(value, ByTask):
        return "by-task"  # Numbers of all tasks would hide the rest; the parameters have them.
    if isinstance(value, dict) and value and all(map(_is_plain, value.values())):
        return "+".join(f"{_quoted(str(key))}:{_shown(value[key])}" for key in sorted(value, key=str))
    if _is_plain(value):
        return str(value)
    return _quoted(json.dumps(to_jsonable_python(value), sort_keys=True, separators=(",", ":")))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=safe).replace("~", "%7E")


class Method(Work):
    """A compression method or a baseline: gives a model that is scored on validation."""

    @abstractmethod
    def compress(self, run: Run) -> PreTrainedModel:
        """Return the model to score. It may use what `run` offers and nothing else."""


class Prerequisite(Work):
    """A result that other nodes build on, such as a teacher's cached outputs."""

    @abstractmethod
    def produce(self, run: Run, folder: Path) -> None:
        """Write the result's files into `folder`."""


class SweepPrerequisite(Work):
    """A result that all tasks and seeds of a sweep build on, such as an encoder pre-trained on its corpus.

    It is planned once: no task's data are prepared for it, and its seed is one of its own fields.
    """

    @abstractmethod
    def produce(self, run: SweepRun, folder: Path) -> None:
        """Write the result's files into `folder`."""
