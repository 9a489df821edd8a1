"""Layer distance: whether sharing smooths what layers do."""

from __future__ import annotations

from methods.study import Study


class LayerDistance(
    Study,
    name="layer-distance",
    paper="Lan et al., ICLR 2020, arXiv 1909.11942, figure 1",
    report="reports.studies.layer_distance:report",
):
    """Show how far each layer moves its input, in L2 distance and angle, with shared layers and without.

    It reads the records of the sweep's methods that pre-train and runs nothing.
    """
