"""Pea-KD step by step: what shared layers, exchanged projections and pretraining on predictions each add."""

from __future__ import annotations

from methods.study import Study


class PeaKDSteps(
    Study,
    name="pea-kd-steps",
    paper="Cho & Kang, PLOS ONE 17(2) e0263592, 2022, arXiv 2009.14822, ablation of SPS and PTP",
    report="reports.studies.pea_kd_steps:report",
):
    """Table BERT_k, + SPS, + PTP and PeaBERT with the change of each step, and the rivals at the same k.

    It reads the records of the sweep's methods and runs nothing. Rows are recognised by their fields: `kd`
    with `alpha: 0` is BERT_k, `pea-kd` without SPS is PTP alone, and so on; rows that would complete the
    table are named.
    """
