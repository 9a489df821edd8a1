"""The contract of a task: a frozen declaration of what is loaded and how it is scored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MetricName = Literal["accuracy", "f1", "matthews"]


class Task(BaseModel):
    """A classification task on one or two texts.

    A corrected task is a new `revision`, never an edit: the revision is part of every fingerprint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The key in a sweep, e.g. `sst2`."""
    aliases: tuple[str, ...] = ()
    """Other spellings people use, e.g. `SST-2`."""
    path: str
    """The data set's id on the Hub."""
    config: str | None = None
    """The data set's configuration, also the folder's name in a local copy."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """The pinned commit on the Hub."""
    columns: tuple[str, ...] = Field(min_length=1, max_length=2)
    """The text columns, in the order the encoder reads them."""
    label: str = "label"
    """The column of class ids."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Class names by id; compared with the data when it is loaded."""
    metrics: tuple[MetricName, ...] = Field(min_length=1)
    """Each is stored under its own name; F1 counts class 1 as positive."""
    primary: MetricName
    """The metric the leaderboard ranks by."""
    majority: float
    """The primary metric of the constant predictor on the official validation split."""
    margin: float
    """Default equivalence margin in points of the primary metric."""
    validation: tuple[str, ...] = Field(default=("validation",), min_length=1)
    """The official splits that scores are taken on, one after the other (MNLI has two)."""
    domains: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """Where validation comes from several domains: the first row of each and the one after its last."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Official number of rows by split."""
    overall: bool = True
    """Whether the task counts in the overall score."""
    licence: str = ""
    citation: str = ""
    title: str = ""
    short: str = ""
    """What papers call it, where its name is not that: `SST-2`."""

    @model_validator(mode="after")
    def _primary_is_a_metric(self) -> Task:
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not among metrics {list(self.metrics)}")
        return self
