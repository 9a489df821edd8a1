"""Per-example predictions: what every test of the leaderboard is computed from, kept as parquet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Logits of one trial on the validation split.

    Attributes:
        index: row numbers in the source split, shape (n,).
        labels: gold class ids, shape (n,).
        logits: fp32 logits, shape (n, c).
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.index)
        if self.labels.shape != (n,) or self.logits.ndim != 2 or len(self.logits) != n:
            raise ValueError(f"{n} rows, but labels {self.labels.shape} and logits {self.logits.shape}")

    @property
    def classes(self) -> NDArray[np.int64]:
        """Predicted class ids, shape (n,)."""
        return self.logits.argmax(axis=1)

    def in_order(self) -> Predictions:
        """Return the rows sorted by index, so that trials can be compared example by example."""
        order = np.argsort(self.index, kind="stable")
        return Predictions(self.index[order], self.labels[order], self.logits[order])


def write(predictions: Predictions, file: BinaryIO) -> None:
    """Write parquet with the columns `index`, `label`, `logit_0` ... `logit_{c-1}`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table(_columns(predictions)),
        file,
        compression="zstd",
        use_dictionary=["label"],
        column_encoding={"index": "DELTA_BINARY_PACKED"},  # They count up; logits are all different.
    )


def read(file: BinaryIO) -> Predictions:
    """Read what `write` wrote.

    Raises:
        ValueError: a column is missing.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    return _predictions({name: table[name].to_numpy() for name in table.column_names})


def _columns(predictions: Predictions) -> dict[str, NDArray]:
    columns: dict[str, NDArray] = {
        "index": np.asarray(predictions.index, np.int64),
        "label": np.asarray(predictions.labels, np.int64),
    }
    logits = np.asarray(predictions.logits, np.float32)
    return columns | {f"logit_{i}": np.ascontiguousarray(logits[:, i]) for i in range(logits.shape[1])}


def _predictions(columns: Mapping[str, NDArray]) -> Predictions:
    classes = sum(name.startswith("logit_") for name in columns)
    wanted = ["index", "label", *(f"logit_{i}" for i in range(classes))]
    if classes < 2 or sorted(wanted) != sorted(columns):
        raise ValueError(f"predictions need index, label, logit_0, ...; found {list(columns)}")
    index, labels, *logits = (columns[name] for name in wanted)
    return Predictions(index, labels, np.stack(logits, axis=1).astype(np.float32))
