"""Sentence objective: what none, NSP and SOP teach."""

from __future__ import annotations

from methods.study import Study


class SentenceObjective(
    Study,
    name="sentence-objective",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942, section 4.6",
    report="reports.studies.sentence_objective:report",
):
    """Ask encoders pre-trained with no sentence objective, NSP or SOP each objective's question.

    It reads the records of the sweep's methods that pre-train and runs nothing.
    """
