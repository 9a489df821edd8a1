"""Transfer strategies: how a MobileBERT is best taught."""

from __future__ import annotations

from methods.study import Study


class TransferStrategies(
    Study,
    name="transfer-strategies",
    paper="Sun et al., ACL 2020, arXiv 2004.02984, sections 3.5 and 3.6",
    report="reports.studies.transfer_strategies:report",
):
    """Compare akt, jkt and none with pkt, and pkt without feature maps, attention, MLM-KD or bottleneck.

    It reads the records of the sweep's `mobilebert` rows with `start: pair` and runs nothing. Only rows that
    differ in nothing else, the number of steps included, are compared.
    """
