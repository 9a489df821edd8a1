from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reports.predictions import Predictions, read, write


def some(classes: int = 3) -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        np.array([7, 2, 5, 11]), np.array([0, 1, 1, 0]), rng.normal(size=(4, classes)).astype(np.float32)
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_round_trip_is_exact(classes):
    file = io.BytesIO()
    write(some(classes), file)
    file.seek(0)
    assert pq.read_table(file).column_names == ["index", "label", *(f"logit_{i}" for i in range(classes))]
    file.seek(0)
    found = read(file)
    for name in ("index", "labels", "logits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(some(classes), name))
    assert found.logits.dtype == np.float32


def test_a_file_takes_little_more_than_its_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1043, 2)).astype(np.float32)
    file = io.BytesIO()
    write(Predictions(np.arange(1043), rng.integers(0, 2, 1043), logits), file)
    assert len(file.getvalue()) < 1.25 * logits.nbytes


def test_in_order_keeps_rows_together():
    ordered = some().in_order()
    assert ordered.index.tolist() == [2, 5, 7, 11]
    assert ordered.labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(ordered.logits[0], some().logits[1])


def test_more_than_ten_logits_stay_in_order():
    wide = Predictions(np.arange(2), np.zeros(2, int), np.arange(24, dtype=np.float32).reshape(2, 12))
    file = io.BytesIO()
    write(wide, file)
    file.seek(0)
    np.testing.assert_array_equal(read(file).logits, wide.logits)


def test_other_files_are_refused():
    file = io.BytesIO()
    pq.write_table(pa.table({"index": [1], "logit_0": [0.5], "logit_2": [0.5]}), file)
    file.seek(0)
    with pytest.raises(ValueError, match="index, label, logit_0"):
        read(file)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 rows"):
        Predictions(np.arange(2), np.arange(3), np.zeros((2, 2), np.float32))
