"""Sharing ablation: what sharing layers and narrowing the embeddings cost."""

from __future__ import annotations

from methods.study import Study


class SharingAblation(
    Study,
    name="sharing-ablation",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942, sections 4.4 and 4.5",
    report="reports.studies.sharing_ablation:report",
):
    """Compare encoders of one budget that share all, attention, feed-forward part or nothing, at any width E.

    It reads the records of the sweep's methods that pre-train and runs nothing.
    """
