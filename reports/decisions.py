"""The class that each model of a study decides for, per example: what studies are computed from, as parquet.

A study scores up to a hundred models in one trial. Classes take a tenth of the space of their logits, and
no metric of a task asks for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from reports.predictions import Predictions

FILE = "variants.parquet"
"""Name of the file among a trial's artifacts."""
RESULT = "result"
"""What a study's report calls the one model of a method's trial."""
UNPRUNED = "unpruned"
"""Name of the model that a study of heads starts from, among its variants."""


@dataclass(frozen=True)
class Decisions:
    """Predicted classes of one model on the validation split.

    Attributes:
        index: row numbers in the source split, shape (n,).
        labels: gold class ids, shape (n,).
        classes: predicted class ids, shape (n,).
        count: number of classes there are.
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, predictions: Predictions) -> Decisions:
        """Keep of a model's predictions what it decides for."""
        count = predictions.logits.shape[1]
        return cls(predictions.index, predictions.labels, predictions.classes, count)

    def in_order(self) -> Decisions:
        """Return the rows sorted by index, so that models can be compared example by example."""
        order = np.argsort(self.index, kind="stable")
        return Decisions(self.index[order], self.labels[order], self.classes[order], self.count)

    def same_examples(self, other: Decisions) -> bool:
        """Whether both are of the same examples in the same order."""
        return np.array_equal(self.index, other.index) and np.array_equal(self.labels, other.labels)


def in_order(variants: Mapping[str, Decisions]) -> dict[str, Decisions]:
    """Return the decisions of several models, each sorted by index."""
    return {name: one.in_order() for name, one in variants.items()}


def write(variants: Mapping[str, Decisions], file: BinaryIO) -> None:
    """Write the decisions of several models into one table: `variant`, `index`, `label`, `class`.

    Raises:
        ValueError: there is no model.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not variants:
        raise ValueError("no variant, no decisions to write")
    models = list(variants.values())
    lengths = [len(one.index) for one in models]
    names = pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(len(models), dtype=np.int32), lengths)), pa.array(list(variants))
    )
    table = pa.table(
        {
            "variant": names,
            "index": np.concatenate([one.index for one in models]).astype(np.int32),
            "label": np.concatenate([one.labels for one in models]).astype(np.int16),
            "class": np.concatenate([one.classes for one in models]).astype(np.int16),
        }
    )
    counted = table.replace_schema_metadata({"classes": str(models[0].count)})
    pq.write_table(
        counted,
        file,
        compression="zstd",
        compression_level=9,
        use_dictionary=["variant", "label", "class"],
        column_encoding={"index": "DELTA_BINARY_PACKED"},  # They count up, model after model.
    )


def read(file: BinaryIO) -> dict[str, Decisions]:
    """Read what `write` wrote, in the order it was written.

    Raises:
        ValueError: a column is missing, or the number of classes.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file, read_dictionary=["variant"])
    wanted = ["variant", "index", "label", "class"]
    about = table.schema.metadata or {}
    if table.column_names != wanted or b"classes" not in about:
        raise ValueError(f"decisions need {wanted} and the number of classes; found {table.column_names}")
    names = table["variant"].combine_chunks()
    codes = names.indices.to_numpy()
    index, labels, classes = (table[name].to_numpy().astype(np.int64) for name in wanted[1:])
    return {
        name: Decisions(
            index[codes == code], labels[codes == code], classes[codes == code], int(about[b"classes"])
        )
        for code, name in enumerate(names.dictionary.to_pylist())
    }
