"""Transfer: whether the heads that matter on one domain matter on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from methods.studies.head_ablation import HeadAblation
from methods.study import Experiment, Study
from tasks.errors import BadInput

if TYPE_CHECKING:
    from tasks.task import Task


class Transfer(
    Study,
    name="transfer",
    paper="Michel, Levy, Neubig, NeurIPS 2019, arXiv 1905.10650, sec. 3.4",
    report="reports.studies.transfer:report",
):
    """Correlate the effect of removing each head on two domains of the validation split.

    The model is trained on one of them; it takes the records of `head-ablation` and trains nothing. CoLA's
    validation rows 0-526 are in-domain and 527-1042 out-of-domain, MNLI's are matched and mismatched.
    """

    first: int | None = Field(
        None,
        ge=2,
        description="validation rows of the first domain, the rest being the second; null: the task's",
    )

    def experiment(self) -> Experiment:
        """The ablation of single heads."""
        return HeadAblation()

    def check(self, task: Task, layers: int | None) -> None:
        """Refuse a task without two domains, unless `first` divides its validation split."""
        if self.first is None and len(task.domains) != 2:
            raise BadInput(
                f"{task.name} has no two domains; take cola or mnli, or say with `first` how many "
                "validation rows are of the first one"
            )
