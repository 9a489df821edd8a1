"""The assignment: all a worker needs to carry out one node, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.config.sweep import CollapsedTeacher
from benchmark.plan.plan import NO_TASK
from methods.pretrained import Source
from methods.settings import Training
from reports.record import trial_name
from tasks.corpus.declaration import Corpus
from tasks.task import Task


class Assignment(BaseModel):
    """One node on its way to a worker. Names are resolved on the driver: workers know no entry points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    attempt: str
    label: str
    """Of its row; of numbers given by task, `params` hold this task's alone."""
    work: str
    """`module:Class` of the method or prerequisite."""
    params: dict[str, Any]
    decides: dict[str, Any]
    task: Task | None
    """None for what belongs to the whole sweep."""
    seed: int
    needs: dict[str, str]
    """Fingerprint of each prerequisite, by its name."""
    reads: dict[str, str] = {}
    """Fingerprint of each method whose notes are read, by its name or label."""
    keep: bool
    """Whether other nodes start from this one's weights."""
    model: Source
    models: dict[str, Source] = {}
    """The further pretrained models the work names, by that name."""
    data: str
    corpus: Corpus | None = None
    training: Training
    limit: int | None
    selection: float | int
    collapsed_teacher: CollapsedTeacher
    store: str
    timeout: float
    """Seconds until the worker is killed."""
    cpu: float
    gpu: float
    offline: bool

    @property
    def name(self) -> str:
        """Label, task and seed, for people."""
        return trial_name(self.label, self.task_name, self.seed)

    @property
    def task_name(self) -> str:
        """The task's name, as the plan's node has it."""
        return self.task.name if self.task else NO_TASK


@dataclass(frozen=True)
class Outcome:
    """What became of an assignment; the record or the failure itself is in the store."""

    fingerprint: str
    attempt: str
    status: str
    """`done` or `failed`."""
    kind: str = ""
    message: str = ""
    seconds: float = 0.0

    def as_result(self) -> dict[str, Any]:
        """The outcome as a Tune result."""
        return dict(vars(self))

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Outcome:
        """Read an outcome back from a Tune result."""
        return cls(**{key: result[key] for key in cls.__dataclass_fields__})
