"""The record: what one finished node leaves behind. This schema is all that `reports` knows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FailureKind = Literal["timeout", "oom", "diverged", "error", "node_lost", "prerequisite"]


def trial_name(label: str, task: str, seed: int) -> str:
    """Name a trial as progress, logs and MLflow show it, e.g. `kd:layers=3.rte.1`."""
    return f"{label}.{task}.{seed}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Frozen):
    """One payload file of a record, named relative to `records/<fingerprint>/`."""

    path: str
    size: int
    sha256: str

    @property
    def attempt(self) -> str:
        """The attempt that wrote it: the first folder of its path."""
        return self.path.split("/", 1)[0]


class Parameters(_Frozen):
    """Unique parameters: a shared tensor counts once."""

    total: int
    encoder: int
    """Without embeddings, pooler and classifier."""
    embeddings: int


class Cost(_Frozen):
    """What the training of this node cost, its prerequisites not included."""

    steps: int = 0
    examples: int = 0
    tokens: int = 0
    """Real tokens seen in training, padding not counted."""
    flops: float = 0.0
    """Forward and backward, padding included; and passes that decide without training, such as rewards."""

    def __add__(self, other: Cost) -> Cost:
        """The cost of both."""
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in Cost.model_fields})


class Collapse(_Frozen):
    """Whether predictions are those of a degenerate model, and why."""

    collapsed: bool
    reason: str = ""


class Model(_Frozen):
    """Size and shape of the model a trial hands back."""

    parameters: Parameters
    flops: float
    """Forward FLOPs of one example of 128 tokens."""
    checkpoint_bytes: int
    architecture: dict[str, Any]
    """All that is needed to build the model without its weights."""
    signature: str
    """Digest of what decides latency; equal signatures are measured once."""
    heads: list[int] = Field(default_factory=list)
    """Heads left, by layer."""


class VariantScores(_Frozen):
    """One of the frozen models a study declared, and its validation scores."""

    name: str
    facts: dict[str, Any]
    """What the study says of it: its layer and head, its share of heads removed."""
    scores: dict[str, float]


class Record(_Frozen):
    """The outcome of one node, whole or absent."""

    format: Literal[1] = 1
    fingerprint: str
    decides: dict[str, Any]
    """The canonical content the fingerprint is the sha256 of."""
    kind: Literal["trial", "prerequisite", "study"]
    label: str
    method: str
    family: str
    params: dict[str, Any]
    task: str
    seed: int
    model_id: str
    primary: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    """Validation scores as fractions, each under its metric's name; scored once."""
    choice: dict[str, float] = Field(default_factory=dict)
    """Scores on the `choice` part of the selection split."""
    collapse: Collapse | None = None
    """Judged on validation predictions."""
    choice_collapse: Collapse | None = None
    """Judged on `choice`; what `collapsed_teacher` acts on."""
    teacher_collapse: Collapse | None = None
    """The start model's `choice_collapse`, for a trial that has one."""
    stages: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Validation scores of the models a method hands back beside its result."""
    variants: list[VariantScores] = Field(default_factory=list)
    """A study's models, in the order it declared them."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """What a method wants kept: counts, chosen orders, curves."""
    model: Model | None = None
    cost: Cost = Cost()
    data: dict[str, Any] = Field(default_factory=dict)
    """Rows by split, texts that stand in two splits, source and revision."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall time by phase; `total` is the whole node."""
    peak_memory_bytes: int = 0
    environment: dict[str, Any] = Field(default_factory=dict)
    """Versions, host, processor and GPU model, git commit and dirty flag, precision, device."""
    digest: str = ""
    """The environment digest: sources that took part and versions of the numerical libraries."""
    origins: dict[str, str] = Field(default_factory=dict)
    """Digest of the files it started from, by fingerprint of the prerequisite."""
    started: float
    """Unix time in seconds."""
    ended: float
    files: dict[str, File] = Field(default_factory=dict)
    """Payload by role, the path below the attempt's folder: `predictions.parquet`, `artifacts/...`, and
    `result/...` for other nodes to start from."""
    sha256: str = ""
    """Of all the rest, set by the store: one digit changed in a score is damage too."""

    @property
    def name(self) -> str:
        """Label, task and seed, see `trial_name`."""
        return trial_name(self.label, self.task, self.seed)

    @property
    def result_files(self) -> dict[str, File]:
        """The files other nodes start from, such as weights, by role."""
        return {role: file for role, file in self.files.items() if role.startswith("result/")}

    @property
    def collapsed(self) -> bool:
        """Whether its predictions on validation are degenerate."""
        return self.collapse is not None and self.collapse.collapsed

    @property
    def choice_collapsed(self) -> bool:
        """Whether its predictions on `choice` are degenerate."""
        return self.choice_collapse is not None and self.choice_collapse.collapsed

    @property
    def teacher_collapsed(self) -> bool:
        """Whether the start model it comes from had collapsed."""
        return self.teacher_collapse is not None and self.teacher_collapse.collapsed


class Failure(_Frozen):
    """Why an attempt gave no record. Never taken for a result: the next run tries again."""

    fingerprint: str
    attempt: str
    label: str
    task: str
    seed: int
    kind: FailureKind
    message: str
    traceback: str = ""
    log: str = ""
    """Path or URL of the trial's log."""
    started: float
    ended: float

    @property
    def name(self) -> str:
        """Label, task and seed, see `trial_name`."""
        return trial_name(self.label, self.task, self.seed)


class Latency(_Frozen):
    """Latency of one architecture on one machine, measured with nothing else running."""

    signature: str
    machine: str
    precision: str
    length: int
    batches: dict[str, dict[str, float]]
    """By batch size: `median_ms`, `q1_ms`, `q3_ms`, `repeats`."""
