from __future__ import annotations

import time
import uuid

import pytest
from small_plans import leave, record

from benchmark.store import orphans
from benchmark.store.store import Store

HOUR = 3600.0


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path) -> Store:
    return Store(str(tmp_path / "out") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def abandon(store: Store, key: str, attempt: str, ago: float, *, note: bool = True) -> None:
    """What a kill leaves of an attempt whose deadline was `ago` seconds ago."""
    if note:
        deadline = time.time() - ago
        store.begin(key, attempt, {"started": deadline - 60, "deadline": deadline, "host": "h"})
    store.write_bytes(f"records/{key}/{attempt}/result/model/model.safetensors", b"weights")


def payload(store: Store, key: str) -> set[str]:
    return store.attempts([key]).get(key, set())


def test_what_a_killed_attempt_left_is_removed_with_its_note(store):
    abandon(store, "a", "killed", 2 * HOUR)
    assert orphans.remove(store, {"a"}, {}) == 1
    assert payload(store, "a") == set()
    assert store.started("a", "killed") is None


@pytest.mark.parametrize("ago", [-60.0, 0.5 * HOUR])
def test_an_attempt_that_a_live_driver_may_own_stays(store, ago):
    abandon(store, "a", "running", ago)
    assert orphans.remove(store, {"a"}, {}) == 0
    assert payload(store, "a") == {"running"}


def test_a_record_keeps_its_payload_and_stays_whole(store, tmp_path):
    made = leave(store, record(ended=time.time() - 2 * HOUR), tmp_path, attempt="whole")
    store.begin(made.fingerprint, "whole", {"started": 0.0, "deadline": 60.0, "host": "h"})
    abandon(store, made.fingerprint, "killed", 2 * HOUR)
    assert orphans.remove(store, {made.fingerprint}, store.scan().records) == 1
    assert payload(store, made.fingerprint) == {"whole"}
    assert made.fingerprint in store.scan().records


def test_beside_a_record_of_just_now_nothing_is_touched(store, tmp_path):
    """It may have replaced one whose payload another driver reads at this moment."""
    made = leave(store, record(), tmp_path, attempt="whole")
    abandon(store, made.fingerprint, "replaced", 2 * HOUR)
    assert orphans.remove(store, {made.fingerprint}, {}) == 0


def test_what_is_not_ours_or_of_unknown_age_stays(store):
    abandon(store, "other", "killed", 2 * HOUR)
    abandon(store, "a", "unknown", 2 * HOUR, note=False)
    assert orphans.remove(store, {"a"}, {}) == 0
    assert (payload(store, "other"), payload(store, "a")) == ({"killed"}, {"unknown"})


def test_a_store_in_order_is_not_read_again(store, tmp_path, monkeypatch):
    made = leave(store, record(ended=time.time() - 2 * HOUR), tmp_path)
    monkeypatch.setattr(Store, "read_json", lambda *_: 1 / 0)
    assert orphans.remove(store, {made.fingerprint}, {made.fingerprint: made}) == 0
