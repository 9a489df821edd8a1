"""Short names of rows, for figures, summaries and sentences."""

from __future__ import annotations

from collections.abc import Iterable


def short_names(labels: Iterable[str]) -> dict[str, str]:
    """Return what rows are called among one another: the method, and the fields that tell them apart.

    `sixteen-heads:heads=0.25,steps=120` is `sixteen-heads` where it is the only row of that method, and
    `sixteen-heads:heads=0.25` beside one of as many steps. Tables of every number keep the labels.

    Args:
        labels: of all rows that are shown together.
    """
    fields = {label: label.partition(":")[2].split(",") for label in labels}
    common: dict[str, set[str]] = {}
    for label, own in fields.items():
        method = label.partition(":")[0]
        common[method] = common.get(method, set(own)) & set(own)
    found = {}
    for label, own in fields.items():
        method = label.partition(":")[0]
        telling = ",".join(field for field in own if field not in common[method])
        found[label] = f"{method}:{telling}" if telling else method
    return found
