"""A sweep that is stopped by signals."""

from __future__ import annotations

import signal

from small_world import (
    await_records,
    cells,
    end,
)


def test_signals_leave_a_state_from_which_the_same_command_goes_on(world):
    sweep = world.sweep(
        "stopped",
        tasks=["sst2"],
        methods=["finetune", *({"sleeps": {"seconds": 1 + n / 100}} for n in range(6))],
        seeds=2,
        latency=None,
    )
    output = world.folder / "runs" / "stopped"
    whole: dict[str, int] = {}
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = world.start("run", sweep, "--cpus", "1")
        await_records(output, len(whole) + 2, process)
        process.send_signal(number)
        done = end(process)
        assert done.code == code, done.text
        assert f"stopped by {number.name}" in done.out
        assert "The same command goes on from there" in done.out
        assert f"leanboard run {sweep} --cpus 1" in done.out
        assert "Traceback" not in done.out + done.err
        found = {path: path.stat().st_mtime_ns for path in (output / "records").glob("*/record.json")}
        assert whole.items() <= found.items()
        assert len(found) < 14
        whole = found
    done = world.call("run", sweep, "--cpus", "1")
    assert done.code == 0, done.text
    assert f"{len(whole)} cached" in done.out
    assert (
        whole.items()
        <= {path: path.stat().st_mtime_ns for path in (output / "records").glob("*/record.json")}.items()
    )
    assert all(len(scores) == 2 for scores in cells(output).values())
    assert len(cells(output)) == 7
