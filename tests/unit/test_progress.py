from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console
from small_plans import Step, graph

from benchmark.plan.queue import Queue
from benchmark.progress import Progress, duration
from benchmark.trial.assignment import Outcome


def progress(needs=None, *, terminal: bool = False, slots: int = 2, cached: int = 3) -> Progress:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, no_color=True)
    return Progress(console, Queue(graph(needs or {0: [], 1: [], 2: [0]})), cached, slots)


def printed(shown: Progress) -> str:
    return shown.console.file.getvalue()


def outcome(node, status="done", **facts) -> Outcome:
    return Outcome(node.fingerprint, facts.pop("attempt", "a"), status, **facts)


def test_where_no_terminal_is_each_ended_trial_is_one_line():
    shown = progress()
    with shown:
        first, second = shown.queue.take(), shown.queue.take()
        for node in (first, second):
            shown.started(node)
        shown.tick()
        assert printed(shown) == ""
        shown.queue.complete(first.fingerprint)
        shown.ended(first, outcome(first, seconds=3.21))
        shown.queue.fail(second.fingerprint, "oom")
        shown.ended(second, outcome(second, "failed", kind="oom", message="MemoryError: big\nmore"))
    assert printed(shown).splitlines() == [
        "1/3 done    step.rte.0  3.2 s",
        "2/3 failed  step.rte.1  oom: MemoryError: big",
    ]
    assert "\x1b" not in printed(shown)


def test_a_message_is_not_taken_for_markup():
    shown = progress()
    node = shown.queue.take()
    shown.queue.fail(node.fingerprint, "error")
    shown.ended(node, outcome(node, "failed", kind="error", message="shape [/red] [32, 2] [bold]"))
    assert "shape [/red] [32, 2] [bold]" in printed(shown)


def test_a_lost_worker_is_said():
    shown = progress()
    node = shown.queue.take()
    shown.lost(node)
    assert "step.rte.0" in printed(shown)
    assert "handed out again" in printed(shown)


def test_counts_add_up():
    shown = progress({0: [], 1: [], 2: [], 3: [0], 4: [3]}, slots=2)
    nodes = [shown.queue.take() for _ in range(3)]
    # Three handed out, two slots: one waits.
    assert shown.counts() == {"done": 0, "running": 2, "failed": 0, "cached": 3, "waiting": 3}
    shown.queue.complete(nodes[1].fingerprint)
    shown.queue.fail("0", "error")
    assert shown.counts() == {"done": 1, "running": 1, "failed": 3, "cached": 3, "waiting": 0}


def test_the_time_left_comes_from_the_work_done(monkeypatch):
    shown = progress({0: [], 1: [], 2: [], 3: []})
    assert shown.seconds_left() is None
    shown.queue.take()
    shown.queue.complete("0")
    monkeypatch.setattr(shown, "begun", time.monotonic() - 10)
    assert shown.seconds_left() == pytest.approx(30, rel=0.05)
    shown.queue.fail("1", "error")
    assert shown.seconds_left() == pytest.approx(20, rel=0.05)


def test_drawing_the_line_goes_through_no_list_of_nodes(monkeypatch):
    shown = progress({number: [] for number in range(50)}, terminal=True)
    shown.queue.take()
    shown.queue.complete("0")
    monkeypatch.setattr(Step, "cost", lambda work: 1 / 0)
    for _ in range(3):
        shown.tick()


def test_a_terminal_shows_one_live_table_with_metrics():
    shown = progress(terminal=True)
    with shown:
        node = shown.queue.take()
        shown.started(node)
        shown.metrics([(node.fingerprint, 3, {"loss": 0.51234}, time.time())])
        shown.tick()
        shown.live.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed(shown))
    assert "0 done" in text
    assert "1 running" in text
    assert "3 cached" in text
    assert "step.rte.0  loss 0.5123" in text


def test_metrics_of_trials_that_have_ended_are_dropped():
    shown = progress(terminal=True)
    node = shown.queue.take()
    message = (node.fingerprint, 1, {"loss": 1.0}, 0.0)
    shown.started(node)
    shown.metrics([message])
    assert shown.last == {node.fingerprint: {"loss": 1.0}}
    shown.queue.complete(node.fingerprint)
    shown.ended(node, outcome(node))
    # The mailbox may be emptied after the trial has ended.
    shown.metrics([message])
    assert shown.last == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text
