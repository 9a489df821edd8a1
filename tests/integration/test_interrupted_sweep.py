"""Two drivers on one store, both stopped by signals, and two that go on from there."""

from __future__ import annotations

import signal
import time

from small_world import attempts, await_records, board, cells, end, failures

METHODS = ["finetune", *({"sleeps": {"seconds": 1 + number / 100}} for number in range(6))]
TRIALS = 14


def test_signals_leave_a_state_from_which_the_same_commands_go_on(world):
    sweep = world.sweep("stopped", tasks=["sst2"], methods=METHODS, seeds=2, latency=None)
    output = world.folder / "runs" / "stopped"
    command = ("run", sweep, "--cpus", "1")

    def whole() -> dict:
        return {path: path.stat().st_mtime_ns for path in (output / "records").glob("*/record.json")}

    drivers = [world.start(*command) for _ in range(2)]
    await_records(output, 2, drivers[0])
    until = time.monotonic() + 200
    while len(world.workers()) < 2:
        assert all(driver.poll() is None for driver in drivers) and time.monotonic() < until
        time.sleep(0.1)
    for driver, number in zip(drivers, (signal.SIGINT, signal.SIGTERM), strict=True):
        driver.send_signal(number)
    for driver, number in zip(drivers, (signal.SIGINT, signal.SIGTERM), strict=True):
        done = end(driver)
        assert done.code == 128 + number, done.text
        assert f"stopped by {number.name}" in done.out
        assert "Run the same command to resume" in done.out
        assert f"leanboard run {sweep} --cpus 1" in done.out
        assert "Traceback" not in done.out + done.err
    found = whole()
    assert 2 <= len(found) < TRIALS

    drivers = [world.start(*command) for _ in range(2)]
    for driver in drivers:
        done = end(driver)
        assert done.code == 0, done.text
        assert "damaged" not in done.out
    assert found.items() <= whole().items(), "a whole record was touched"
    assert failures(output) == {}
    assert board(output)["complete"] is True
    assert len(cells(output)) == len(METHODS)
    assert all(len(scores) == 2 for scores in cells(output).values())
    before = attempts(output)
    again = world.call(*command)
    assert f"0 run now, {TRIALS} cached, 0 without a result" in again.out
    assert attempts(output) == before
