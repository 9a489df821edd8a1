from __future__ import annotations

import pytest
from small_plans import record
from tiny_encoders import encoder
from transformers import BertConfig

from benchmark import latency
from benchmark.config import LatencySettings
from benchmark.store import Store
from methods import checkpoint
from reports.record import Latency, Model, Parameters

SETTINGS = LatencySettings(batch_sizes=(1, 3), length=8, repeats=3)


def model(signature: str) -> Model:
    return Model(
        parameters=Parameters(total=1, encoder=1, embeddings=0),
        flops=1.0,
        checkpoint_bytes=1,
        architecture={},
        signature=signature,
    )


def measured(signature: str, machine: str = "here") -> Latency:
    batch = {"median_ms": 1.0, "q1_ms": 0.9, "q3_ms": 1.1, "repeats": 3}
    return Latency(signature=signature, machine=machine, precision="fp32", length=8, batches={"1": batch})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path))


def test_the_first_seed_stands_for_its_row():
    records = [
        record({"n": n}, label=label, seed=seed, model=model(f"{label}{seed}"))
        for n, (label, seed) in enumerate([("a", 2), ("a", 1), ("b", 3), ("a", 5)])
    ]
    chosen = latency.first_seeds([*records, record({"n": 9}, kind="prerequisite", seed=0)])
    assert {key: found.seed for key, found in chosen.items()} == {("a", "rte"): 1, ("b", "rte"): 3}


def test_what_was_saved_is_found_for_the_same_machine_and_settings_alone(store):
    records = [record(model=model("one"))]
    latency.save(store, [measured("one")], SETTINGS, "here")
    assert latency.load(store, records, SETTINGS, "here") == {"one": measured("one")}
    assert latency.load(store, records, SETTINGS, "there") == {}
    assert latency.load(store, [record(model=model("two"))], SETTINGS, "here") == {}
    for change in ({"length": 9}, {"repeats": 4}, {"batch_sizes": (1,)}):
        assert latency.load(store, records, SETTINGS.model_copy(update=change), "here") == {}


def test_the_newest_machine_that_timed_all_is_shown_and_none_are_mixed(store):
    records = [record({"n": n}, label=name, model=model(name)) for n, name in enumerate(("one", "two"))]

    def shown(*machines: str) -> dict[str, str]:
        found = latency.newest(store, records, SETTINGS, machines)
        return {key: each.machine for key, each in found.items()}

    assert shown() == shown("old") == {}
    latency.save(store, [measured("one", "new")], SETTINGS, "new")
    assert shown("new", "old") == {"one": "new"}
    latency.save(store, [measured(name, "old") for name in ("one", "two")], SETTINGS, "old")
    assert shown("new", "old") == {"one": "old", "two": "old"}
    latency.save(store, [measured("two", "new")], SETTINGS, "new")
    assert shown("new", "old") == {"one": "new", "two": "new"}


def test_a_machine_is_named_by_what_decides_time():
    one, two = latency.machine("cpu", 1), latency.machine("cpu", 2)
    assert one != two
    assert "torch 2." in one
    assert latency.machine("cuda", 1, "A100").startswith("A100, torch")


def test_every_architecture_is_timed_at_every_batch_size():
    architectures = {kind: checkpoint.architecture(encoder(kind)) for kind in ("bert", "distilbert")}
    found = latency.measure(architectures, SETTINGS, "cpu", 1, "here")
    assert [each.signature for each in found] == ["bert", "distilbert"]
    for each in found:
        assert (each.machine, each.precision, each.length) == ("here", "fp32", 8)
        assert set(each.batches) == {"1", "3"}
        for times in each.batches.values():
            assert 0 < times["q1_ms"] <= times["median_ms"] <= times["q3_ms"]
            assert times["repeats"] == 3


def test_repeats_are_interleaved(monkeypatch):
    """A slow minute must hit all models alike: no model is timed twice before every other was timed once."""
    order = []

    class Watched:
        def __init__(self, name):
            self.name = name
            self.config = BertConfig(vocab_size=20)

        def to(self, device):
            return self

        def eval(self):
            return self

        def __call__(self, input_ids):
            order.append((self.name, input_ids.shape[0]))

    monkeypatch.setattr(checkpoint, "build", lambda content: Watched(content["name"]))
    latency.measure({"a": {"name": "a"}, "b": {"name": "b"}}, SETTINGS, "cpu", 1, "here")
    round_ = [("a", 1), ("a", 3), ("b", 1), ("b", 3)]
    warm = [each for each in round_ for _ in range(latency.WARM_UP)]
    assert order == warm + round_ * SETTINGS.repeats
