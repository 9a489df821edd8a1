from __future__ import annotations

import functools
import importlib
import io
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from published_sweep import model
from rich.console import Console
from small_plans import node_record, record
from tiny_encoders import encoder

from benchmark.cluster import cluster
from benchmark.config.load import make_sweep
from benchmark.config.sweep import LatencySettings
from benchmark.latency import latency
from benchmark.latency import phase as latency_phase
from benchmark.plan.job import resolve
from benchmark.store.manifest import Manifest, describe
from benchmark.store.store import Store
from methods import checkpoint, timing
from reports.record import Latency
from tasks.errors import BadInput

SETTINGS = LatencySettings(batch_sizes=(1, 3), length=8, repeats=3)
SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte"],
    "methods": ["finetune"],
    "seeds": 1,
    "latency": SETTINGS.model_dump(),
}


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


class Watched:
    """Stands for a model; notes every pass, which takes as long as `seconds` says."""

    def __init__(self, name: str, order: list, clock: list[float], seconds: float) -> None:
        self.name, self.order, self.clock, self.seconds = name, order, clock, seconds

    def to(self, device):
        return self

    def eval(self):
        return self

    def parameters(self):
        return [torch.zeros(10)]

    def __call__(self, input_ids):
        self.clock[0] += self.seconds
        self.order.append((self.name, input_ids.shape[0]))


@pytest.fixture
def watched(monkeypatch):
    """Measure models `a` and `b` whose passes take `seconds`; every pass in its order, and what was built."""

    def measure(seconds: float = 0.001, free: int = 10**9) -> tuple[list, list]:
        order, built, clock = [], [], [0.0]

        def build(content):
            built.append(content["name"])
            return Watched(content["name"], order, clock, seconds)

        monkeypatch.setattr(checkpoint, "build", build)
        monkeypatch.setattr(latency, "_free_bytes", lambda device: free)
        monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
        wanted = {name: {"name": name, "vocab_size": 20} for name in ("a", "b")}
        latency.measure(wanted, SETTINGS, "cpu", 1, "here")
        return order, built

    return measure


ROUND = [("a", 1), ("a", 3), ("b", 1), ("b", 3)]


def repeats(rebuilt: str = "") -> list:
    """All passes after the warm-up, in the orders drawn; a model built anew passes once before its turn."""
    return [
        each
        for order in timing.rounds("ab", SETTINGS.repeats)
        for name in order
        for each in (*[(name, 1)] * (name in rebuilt), (name, 1), (name, 3))
    ]


def test_repeats_are_interleaved(watched):
    """A slow minute must hit all models alike: no model is timed twice before every other was timed once."""
    order, built = watched()
    warm = [each for each in ROUND for _ in range(20)]
    assert order == warm + repeats()
    assert built == ["a", "b"]


@pytest.mark.parametrize(("seconds", "passes"), [(0.01, 20), (0.1, 10), (0.25, 4), (30.0, 3)])
def test_the_warm_up_is_shorter_where_passes_are_long(watched, seconds, passes):
    order, _ = watched(seconds)
    assert order[: 4 * passes] == [each for each in ROUND for _ in range(passes)]
    assert order[4 * passes :] == repeats()


def test_models_that_memory_does_not_hold_are_built_at_their_turn(watched):
    order, built = watched(free=80)
    warm = [each for each in ROUND for _ in range(20)]
    # `a` stays; `b` is new each time, so it passes once before it is timed.
    assert order == warm + repeats(rebuilt="b")
    assert built == ["a", "b", *["b"] * SETTINGS.repeats]


def test_a_node_that_never_is_idle_is_waited_for_as_long_as_told(monkeypatch):
    importlib.import_module("ray.util.placement_group")
    module, asked, removed = sys.modules["ray.util.placement_group"], [], []

    def placement_group(bundles):
        asked.append(bundles)
        return SimpleNamespace(wait=lambda seconds: asked.append(seconds))

    monkeypatch.setattr(module, "placement_group", placement_group)
    monkeypatch.setattr(module, "remove_placement_group", removed.append)
    monkeypatch.setattr(cluster, "alive", lambda: [{"Resources": {"CPU": 2}}, {"Resources": {"CPU": 8}}])
    with pytest.raises(BadInput, match=r"other work holds CPUs of every node, and 7 s \(--wait\)"):
        latency_phase._on_an_idle_node({"a": {}}, {}, SETTINGS, "cpu", 1, 7)
    assert asked == [[{"CPU": 8}], 7]
    assert len(removed) == 1


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Measure a sweep of one finished row; what would time it on a cluster is given."""
    job = resolve(make_sweep(SWEEP), output=str(tmp_path))
    scan = job.scan()
    for node in job.plan.trials():
        scan.records[node.fingerprint] = node_record(job.plan, node, model=model("one"))

    def run(manifest: Manifest, on_an_idle_node: Callable[..., list[Latency]]) -> Manifest:
        monkeypatch.setattr(latency_phase, "_on_an_idle_node", on_an_idle_node)
        console = Console(file=io.StringIO())
        made = latency_phase.measure(job, SETTINGS, manifest, scan, console, wait=1)
        assert Manifest.read(job.store) == made, "a later report reads it"
        return made

    return functools.partial(run, describe(job, "leanboard run s.yaml"))


def test_why_there_is_no_latency_is_kept_for_the_page(measure):
    def busy(*what):
        raise BadInput("other work holds CPUs of every node")

    assert measure(busy).untimed == "other work holds CPUs of every node"


def test_a_latency_that_was_measured_needs_no_excuse(measure):
    manifest = measure(lambda *what: [measured("one")])
    assert (manifest.machines, manifest.untimed) == (("here",), "")
