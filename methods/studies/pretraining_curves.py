"""Pre-training curves: what the sweep's own encoders learnt, token by token."""

from __future__ import annotations

from methods.study import Study


class PretrainingCurves(
    Study,
    name="pretraining-curves",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942, section 3.1; Sun et al., ACL 2020, arXiv 2004.02984, "
    "section 3.6",
    report="reports.studies.pretraining_curves:report",
    sweep_wide=True,
):
    """Show how the losses of encoders pre-trained in the sweep fell, and what each cost.

    It reads the records of the pre-trainings themselves, so it needs no fine-tuned row, and runs nothing.
    """
