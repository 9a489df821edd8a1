"""Timing of calls that are compared with one another."""

from __future__ import annotations

from methods.timing import interleaved, summary


def test_every_round_goes_through_all_calls_in_an_order_of_its_own():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abcd"}
    times = interleaved(calls, warm_up=2, repeats=20, device="cpu")
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys("abcd", 20)
    rounds = ["".join(order[i : i + 4]) for i in range(0, len(order), 4)]
    assert len(rounds) == 22
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len(set(rounds)) > 5
    before_a = {order[i - 1] for i in range(1, len(order)) if order[i] == "a"}
    assert before_a >= set("bcd")


def test_the_summary_has_median_and_quartiles():
    found = summary([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found == {"median_ms": 3.0, "q1_ms": 2.0, "q3_ms": 4.0, "repeats": 5}
