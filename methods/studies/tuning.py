"""Tuning: which setting of each method is best on each task, by data that no table shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from methods.study import Study


class Tuning(
    Study,
    name="tuning",
    paper="Dodge et al., EMNLP 2019, arXiv 1909.03004: report what was searched, and search alike",
    report="reports.studies.tuning:report",
):
    """Compare the settings of each method on each task by their score on `choice`, and say which to freeze.

    It reads the records of the sweep's methods and runs nothing. Rows of one method that differ in `fields`
    alone are settings of one another. Validation is not looked at. The seeds of the sweep should be others
    than those of the sweep that the settings are frozen for.
    """

    fields: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        ("learning_rate",), min_length=1, description="what was tuned"
    )
