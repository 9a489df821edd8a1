"""What Tune's searcher hands out, and what it does where Tune asks it alone and no callback is called."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
from small_plans import graph

from benchmark.cluster import ray_tune, tune_callback
from benchmark.interrupts import Interrupted, Interrupts
from benchmark.plan.queue import Queue
from benchmark.trial.assignment import Outcome
from tasks.errors import BadInput


class Store:
    """Shows the records that are in `shown`."""

    url = "file:///output"

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self.there = True

    def holds(self, fingerprint, replaced=None):
        return fingerprint in self.shown

    def reachable(self):
        return self.there

    def probe(self):
        pass


class Silent:
    def __getattr__(self, name):
        return lambda *facts: None


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def interrupts():
    return Interrupts()


@pytest.fixture
def searcher(store, interrupts, monkeypatch):
    """Of a plan whose node 1 needs node 0, which has been handed out and says it is done."""
    monkeypatch.setattr(tune_callback.TuneCallback, "_mailbox", lambda self: None)
    monkeypatch.setattr(tune_callback, "_LOOK_SECONDS", 0)
    queue = Queue(graph({0: [], 1: [0]}))
    callback = tune_callback.TuneCallback(queue, store, Silent(), interrupts, {})
    made = ray_tune.PlanSearcher(
        queue,
        lambda node, attempt: SimpleNamespace(model_dump_json=lambda: node.name, cpu=1, gpu=0),
        callback,
    )
    first = made.suggest("a")
    assert made.suggest("b") is None
    done = Outcome(queue.nodes["0"].fingerprint, first["attempt"], "done")
    callback.ended(done)
    return made


def test_a_record_that_appears_late_lets_what_needs_it_begin(searcher, store):
    assert searcher.suggest("b") is None
    store.shown.add("0")
    assert searcher.suggest("b")["assignment"] == searcher.queue.nodes["1"].name


def test_a_slow_store_is_asked_once_in_a_while(searcher, store, monkeypatch):
    assert searcher.suggest("b") is None
    monkeypatch.setattr(tune_callback, "_LOOK_SECONDS", 1000)
    store.shown.add("0")
    assert searcher.suggest("b") is None


def test_a_record_that_never_appears_ends_the_search(searcher, monkeypatch):
    assert searcher.suggest("b") is None
    clock = tune_callback.time.monotonic() + tune_callback._APPEARS_SECONDS + 1
    monkeypatch.setattr(tune_callback.time, "monotonic", lambda: clock)
    with pytest.raises(BadInput, match="says it is done, but its record is not there"):
        searcher.suggest("b")


def test_a_store_behind_an_outage_is_waited_for(searcher, monkeypatch):
    store, began = searcher.callback.store, tune_callback.time.monotonic()
    store.there = False
    for minutes in (2, 4, 60):
        monkeypatch.setattr(tune_callback.time, "monotonic", lambda minutes=minutes: began + 60 * minutes)
        assert searcher.suggest("b") is None
    store.there = True
    monkeypatch.setattr(tune_callback.time, "monotonic", lambda: began + 60 * 70)
    with pytest.raises(BadInput, match="its record is not there"):
        searcher.suggest("b")


def test_a_signal_is_heard_without_any_trial(searcher, interrupts):
    interrupts.number = signal.SIGINT
    with pytest.raises(Interrupted):
        searcher.suggest("b")


def test_what_goes_wrong_after_a_node_has_ended_does_not_hand_it_out_again(searcher):
    """Tune reports whatever a watcher raises as an error of the trial whose end it was told."""
    queue, callback = searcher.queue, searcher.callback
    attempt = next(iter(callback.attempts))
    queue.fail("0", "error")
    trial = SimpleNamespace(config={"attempt": attempt}, get_pickled_error=lambda: OSError("no answer"))
    callback.on_trial_error(1, [], trial)
    assert queue.failed == {"0": "error", "1": "prerequisite"}
    assert queue.finished and queue.take() is None
