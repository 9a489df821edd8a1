"""Running a sweep from Python."""

from __future__ import annotations

from rich.console import Console

from benchmark import engine
from benchmark.config.sweep import Sweep
from benchmark.plan.job import resolve
from reports.board import Leaderboard


def run(
    sweep: Sweep,
    *,
    output: str | None = None,
    address: str | None = None,
    offline: bool = False,
    quiet: bool = False,
) -> Leaderboard:
    """Run what is missing of a sweep and return its leaderboard.

    Args:
        sweep: from `load_sweep` or `make_sweep`.
        output: folder or URL of the results; `runs/<name>` by default.
        address: an existing Ray cluster; a local Ray of our own by default.
        offline: never touch the network.
        quiet: print nothing.

    Raises:
        BadInput: the sweep cannot be run, with what is wrong, where, and what to do.
    """
    job = resolve(sweep, output=output, offline=offline)
    options = engine.Options(command="leanboard.run(...)", address=address)
    return engine.run(job, Console(quiet=quiet), options).published.board
