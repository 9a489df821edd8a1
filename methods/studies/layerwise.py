"""Layerwise: how the score moves while layer after layer is pruned."""

from __future__ import annotations

from methods.study import Study


class Layerwise(
    Study,
    name="layerwise",
    paper="Lee, Lee, Kang, PLOS ONE 16(6), 2021, arXiv 2009.14409, figure of the layer-wise scores",
    report="reports.studies.layerwise:report",
):
    """Show the validation score after each layer for every method that hands back `layer-0`, `layer-1`, ...

    It reads the records of the sweep's methods and runs nothing.
    """
