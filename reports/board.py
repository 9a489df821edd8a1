"""The leaderboard's schema: plain data in, plain data out, no NaN anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reports.statistics.verdicts import Verdict

START_MODEL = "finetune"
"""Label of the fine-tuned model that pruning and distillation start from, whatever the baseline is."""
OVERALL = "overall"
"""Stands for the task in rows over all tasks; no task has this name."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskFacts(_Plain):
    """What the leaderboard must know of a task."""

    name: str
    title: str = ""
    short: str = ""
    primary: Literal["accuracy", "f1", "matthews"]
    margin: float = Field(gt=0)
    """Equivalence margin in points."""
    overall: bool = True
    """Whether the task counts in the overall score."""
    domains: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """First row and the one after the last of each domain of the validation split."""
    teacher_parameters: int | None = None
    """Parameters of the start model; those of the baseline when absent."""

    @property
    def long_name(self) -> str:
        """How figures and sentences write the task."""
        return self.title or self.name

    @property
    def short_name(self) -> str:
        """How columns write the task."""
        return self.short or self.name


class MethodFacts(_Plain):
    """One row of the sweep: a method with its fields, under its label."""

    label: str
    method: str
    family: str
    params: dict[str, Any] = Field(default_factory=dict)
    paper: str = ""


class StudyFacts(_Plain):
    """A study with its fields, and where its report comes from."""

    label: str
    study: str
    params: dict[str, Any] = Field(default_factory=dict)
    paper: str = ""
    report: str
    """`module:function`."""
    source: str = ""
    """Label of the experiment whose records it reports on; empty for the sweep's methods."""
    rows: bool = False
    """Whether it also reads the records of the sweep's methods, beside those of its experiment."""
    sweep_wide: bool = False
    """Whether it reads the records of works done once for the whole sweep, instead of the methods'."""


class SweepFacts(_Plain):
    """What was to be run, as resolved."""

    name: str
    model: str
    data: str
    tasks: tuple[TaskFacts, ...]
    methods: tuple[MethodFacts, ...]
    seeds: tuple[int, ...]
    baseline: str
    """The label that all others are compared with."""
    margin: float = 1.5
    """Equivalence margin of the overall score in points."""
    command: str = ""
    """What makes this leaderboard again."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The sweep as the user wrote it, defaults filled in."""


class LatencyFacts(_Plain):
    """How the latency of a row was measured; figures of different machines never share a board's column."""

    machine: str
    precision: str
    length: int
    seed: int
    """The seed whose model was timed: the first of the row."""
    batches: dict[str, dict[str, float]]
    """By batch size, as in `Latency`."""


class TrainingCost(_Plain):
    """What training a row cost: medians over seeds, without prerequisites; summed over tasks in `overall`."""

    tokens: float
    flops: float
    seconds: float


class Row(_Plain):
    """One label on one task, or over all tasks. Scores and differences are in points (0-100)."""

    label: str
    method: str
    params: dict[str, Any]
    family: str
    task: str
    """A task's name, or `overall`."""
    metric: str
    unit: Literal["points"] = "points"
    seeds: list[int]
    """Seeds with a result, ascending."""
    scores: list[float]
    """By seed, as in `seeds`."""
    median: float | None
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    other_metrics: dict[str, float] = Field(default_factory=dict)
    """Medians of the task's further metrics, in points."""
    retained: float | None = None
    """Share of the baseline's gain over the constant predictor that is kept, in percent; descriptive."""
    collapsed: int
    """Number of collapsed runs."""
    collapsed_seeds: list[int] = Field(default_factory=list)
    """In `overall`: seeds at which the run of some task collapsed."""
    teacher_collapsed: list[int] = Field(default_factory=list)
    """Seeds whose start model had collapsed."""
    missing: list[int] = Field(default_factory=list)
    """Seeds of the sweep without a result."""
    parameters: float | None = None
    """Unique parameters, median over seeds."""
    encoder_parameters: float | None = None
    """The same without embeddings, pooler and classifier."""
    compression: float | None = None
    """Parameters of the teacher divided by one's own."""
    checkpoint_bytes: float | None = None
    flops: float | None = None
    """Forward FLOPs of one example of 128 tokens."""
    latency_ms: dict[str, float] | None = None
    """Median milliseconds by batch size."""
    latency: LatencyFacts | None = None
    training: TrainingCost | None = None
    peak_memory_bytes: int | None = None
    delta: float | None = None
    """Mean paired difference to the baseline over common seeds."""
    median_delta: float | None = None
    """Median paired difference."""
    ci: tuple[float, float] | None = None
    """95 % interval of `delta`: seeds and examples; with a single seed examples alone."""
    loses_at_most: float | None = None
    """One-sided 95 % bound on the loss; negative where even the bound is a gain."""
    margin: float
    detectable: float | None = None
    """Smallest true difference found with 80 % power."""
    floor: float | None = None
    """What `detectable` tends to as seeds grow."""
    seeds_needed: int | None = None
    """Seeds that would detect a difference as large as the margin; null where no number does."""
    reachable: bool | None = None
    """Whether the 90 % interval is narrow enough to fit into the margin."""
    tests: dict[str, dict[str, Any]] = Field(default_factory=dict)
    verdict: Verdict
    strict: Verdict
    """The verdict when cells are corrected by Holm; the same as `verdict` in `overall`."""
    reason: str
    rank: int | None = None
    """By median."""
    rank_interval: tuple[int, int] | None = None
    """95 % interval of the rank by mean."""
    link: str = ""
    """The row's MLflow run, where there is a server."""

    @property
    def p(self) -> float | None:
        """Of the test that decides, uncorrected; None without a comparison or with a single seed."""
        return self.tests.get("combined", {}).get("p")

    @property
    def p_adjusted(self) -> float | None:
        """The same, corrected in the row's family; None where there is no verdict."""
        return self.tests.get("combined", {}).get("p_adjusted")


class Missing(_Plain):
    """A trial without a result, and why."""

    label: str
    task: str
    seed: int
    kind: str
    """A failure's kind, `not run`, or `no result` where failures are not known."""
    message: str = ""
    log: str = ""


class Leaderboard(_Plain):
    """All that the page, the tables and the JSON file show."""

    format: Literal[1] = 1
    sweep: SweepFacts
    complete: bool
    trials: int
    """Trials with a result."""
    planned: int
    finished: str | None
    """When the last trial ended, ISO 8601 in UTC."""
    examples: dict[str, int]
    """Validation examples by task."""
    majority: dict[str, float]
    """The constant predictor's best primary score by task, in points."""
    replicates: int
    notes: list[str] = Field(default_factory=list)
    """What a reader must know first: which data, which model."""
    machines: list[str] = Field(default_factory=list)
    """Processors and accelerators the trials ran on."""
    averaged: list[str]
    """Tasks that `overall` averages over."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Tasks that would count in `overall` but do not, and why."""
    overall: list[Row]
    rows: list[Row]
    missing: list[Missing] = Field(default_factory=list)

    def of(self, task: str) -> list[Row]:
        """Return the rows of a task, best first."""
        return [row for row in self.rows if row.task == task]


Links = Mapping[tuple[str, str], str]
"""Address of an MLflow run by (label, task); the task of an overall row is `overall`."""
