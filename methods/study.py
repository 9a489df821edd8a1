"""The contract of a study: an analysis that yields tables and a figure instead of a compressed model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from methods.method import Work

if TYPE_CHECKING:
    from methods.pruning.order import Head
    from methods.run import Run


@dataclass(frozen=True)
class Variant:
    """A frozen model that is scored on validation once, whatever comes of it."""

    name: str
    """Unique in its study; names the predictions."""
    removed: tuple[Head, ...] = ()
    """Heads that are masked while it is scored."""
    model: Path | None = None
    """A saved model; None stands for the start model."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the report must know of it, as JSON."""


class Study(Work):
    """An analysis made of records: its report turns them into tables, a figure and a conclusion.

    Class arguments, beside those of `Work`:
        report: `module:function` of the report, a `reports.studies.content.Report`.
        once: the result depends neither on the task nor on the seed, so the first of each is enough.
        alone: it measures time, so nothing else of ours may run beside it.
        rows: its report also reads the records of the sweep's methods, as far as there are any.
        sweep_wide: its report is made of works done once for the whole sweep (`SweepPrerequisite`), such as
            pre-trainings, instead of the sweep's methods.
    """

    report: ClassVar[str]
    once: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    rows: ClassVar[bool] = False
    sweep_wide: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        report: str = "",
        once: bool = False,
        alone: bool = False,
        rows: bool = False,
        sweep_wide: bool = False,
        **facts: Any,
    ) -> None:
        super().__init_subclass__(**{"family": "study", **facts})
        if report:
            cls.report, cls.once, cls.alone = report, once, alone
            cls.rows, cls.sweep_wide = rows, sweep_wide

    def experiment(self) -> Experiment | None:
        """The experiment whose records are reported on; None for the records of the sweep's methods."""
        return None


class Experiment(Study):
    """A study with trials of its own, one per task and seed."""

    def experiment(self) -> Experiment:
        """Itself."""
        return self

    @abstractmethod
    def variants(self, run: Run) -> Iterable[Variant]:
        """Decide on the models to score, and measure what needs no validation data into `run.notes`.

        All of them are declared before any is scored: orders and choices come from `run`, which has no door
        to the validation split. A study that only measures declares none. Saved models lie in `run.folder`
        and are removed once scored.
        """
