"""Equal budget: methods that remove as much of the same thing, against one another."""

from __future__ import annotations

from methods.study import Study


class EqualBudget(
    Study,
    name="equal-budget",
    paper="Lee, Lee, Kang, PLOS ONE 16(6), 2021, arXiv 2009.14409, comparison at AUBER's number of heads",
    report="reports.studies.equal_budget:report",
):
    """Compare pruning methods within one budget: a share of one axis, or the numbers another method chose.

    It reads the records of the sweep's methods and runs nothing. Rows that follow a method with `like` are
    compared with it; rows of one share with `random-heads` and with as much further training without pruning.
    """
