"""A sweep whose trials fail in every way there is: the others finish, and each failure is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_world import (
    Done,
    attempts,
    board,
    cells,
    failures,
    records,
)

BAD = ["raises", "hangs", "eats", "diverges", "nan", "stranded", {"dies": {"times": 9}}, "dies"]


@pytest.fixture(scope="module")
def failing(world) -> tuple[Done, Path]:
    """A sweep in which most methods misbehave."""
    sweep = world.sweep(
        "failing", tasks=["sst2"], methods=["finetune", *BAD], seeds=1, timeout=30, latency=None
    )
    return world.call("run", sweep), world.folder / "runs" / "failing"


def test_a_failing_sweep_ends_with_exit_code_1_and_a_board_that_says_so(failing):
    done, output = failing
    assert done.code == 1, done.text
    assert board(output)["complete"] is False
    assert "incomplete" in done.out
    assert "7 without a result" in done.out


def test_the_others_finish(failing):
    _, output = failing
    assert set(records(output)) == {"finetune.sst2.1", "dies.sst2.1"}
    assert cells(output)["finetune", "sst2"]


@pytest.mark.parametrize(
    ("label", "kind", "message"),
    [
        ("raises", "error", "ValueError: planned [/red] failure of /tmp/[x]"),
        ("hangs", "timeout", "ended after 30 s"),
        ("eats", "oom", "Unable to allocate"),
        ("diverges", "diverged", "loss nan"),
        ("nan", "diverged", "not finite"),
        ("stranded", "prerequisite", "broken-outputs.sst2.1"),
        ("broken-outputs", "error", "OSError: no outputs"),
        ("dies:times=9", "node_lost", "died three times"),
    ],
)
def test_every_failure_has_its_kind_message_and_log(failing, label, kind, message):
    done, output = failing
    failure = failures(output)[f"{label}.sst2.1"]
    assert failure["kind"] == kind
    assert message in failure["message"]
    shown = f"{label}.sst2.1  {kind}: "
    assert shown in done.out
    if kind != "prerequisite":
        assert Path(failure["log"]).is_file()
    if kind in ("error", "oom", "diverged"):
        assert "Traceback" in failure["traceback"]


def test_the_log_of_a_hung_trial_shows_where_it_hung(failing):
    _, output = failing
    text = (output / "logs" / "hangs.sst2.1.log").read_text()
    assert "Timeout" in text
    assert "misbehaving.py" in text


def test_a_node_whose_worker_died_is_handed_out_again_at_most_twice(failing, world):
    done, output = failing
    key = failures(output)["dies:times=9.sst2.1"]["fingerprint"]
    assert attempts(output)[key] == 3
    assert attempts(output)[records(output)["dies.sst2.1"]["fingerprint"]] == 2
    assert done.out.count("handed out again") == 3


def test_status_says_why(failing, world):
    done = world.call("status", "failing.yaml", "--failed")
    assert done.code == 0, done.text
    for fragment in (
        "raises.sst2.1",
        "planned [/red] failure",
        "ValueError: planned",
        "hangs.sst2.1",
        "timeout",
        ".log",
    ):
        assert fragment in done.out
    lines = done.out.splitlines()
    (hung,) = (number for number, line in enumerate(lines) if "hangs.sst2.1" in line and "timeout" in line)
    assert lines[hung + 1].startswith("    "), "a killed worker's log is not shown"
    content = json.loads(world.call("status", "failing.yaml", "--json").out)
    assert {failure["kind"] for failure in content["failed"]} == {
        "error", "timeout", "oom", "diverged", "prerequisite", "node_lost",
    }  # fmt: skip
    assert content["done"] == 2


def test_what_failed_is_tried_again_and_nothing_else(failing, world):
    _, output = failing
    before = attempts(output)
    world.sweep("failing", tasks=["sst2"], methods=["finetune", "raises", "dies"], seeds=1, latency=None)
    done = world.call("run", "failing.yaml", "--cpus", "1")
    assert done.code == 1, done.text
    assert "2 cached, 1 without a result" in done.out
    after = attempts(output)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {failures(output)["raises.sst2.1"]["fingerprint"]}
