"""What people see while a sweep runs: one live line in a terminal, one line per finished trial elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmark.plan.plan import Node
from benchmark.plan.queue import Queue
from benchmark.trial.assignment import Outcome

if TYPE_CHECKING:
    from benchmark.cluster.actor import Message

_SHOWN = 8


class Progress:
    """Counts of done, running, failed and cached nodes, the time left, and what runs now."""

    def __init__(self, console: Console, queue: Queue, cached: int, slots: int) -> None:
        self.console = console
        self.queue = queue
        self.cached = cached
        self.slots = slots
        self.begun = time.monotonic()
        self.last: dict[str, dict[str, float]] = {}
        self.handed_out: dict[str, float] = {}
        self.live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def started(self, node: Node) -> None:
        """A node was handed out; it may still wait for a free worker."""
        self.handed_out[node.fingerprint] = time.monotonic()

    def ended(self, node: Node, outcome: Outcome) -> None:
        """A node is done or has failed."""
        self.last.pop(node.fingerprint, None)
        self.handed_out.pop(node.fingerprint, None)
        if outcome.status == "done":
            self._line(f"[green]done[/]    {escape(node.name)}  {outcome.seconds:.1f} s")
        else:
            message = outcome.message.splitlines()[0] if outcome.message else ""
            self._line(f"[red]failed[/]  {escape(node.name)}  {outcome.kind}: {escape(message)}")

    def lost(self, node: Node) -> None:
        """A node's worker died and the node is handed out again."""
        self._line(f"[yellow]lost[/]    {escape(node.name)}  its worker died; handed out again")

    def metrics(self, messages: list[Message]) -> None:
        """Live metrics came in."""
        for fingerprint, _, metrics, _ in messages:
            if fingerprint in self.handed_out:
                self.last[fingerprint] = metrics

    def tick(self) -> None:
        """Redraw the live line."""
        if self.live:
            self.live.update(self._table())

    def counts(self) -> Counter[str]:
        """Nodes by state."""
        return Counter(
            done=len(self.queue.done),
            running=min(self.slots, len(self.queue.running)),
            failed=len(self.queue.failed),
            cached=self.cached,
            waiting=self.queue.waiting + max(0, len(self.queue.running) - self.slots),
        )

    def seconds_left(self) -> float | None:
        """Estimate from the work done so far, in units of one fine-tuning; None before anything is done."""
        queue = self.queue
        if not queue.work_done:
            return None
        return (time.monotonic() - self.begun) * queue.work_left / queue.work_done

    def _line(self, text: str) -> None:
        counts, total = self.counts(), len(self.queue.nodes)
        ended = counts["done"] + counts["failed"]
        self.console.print(
            f"[dim]{ended:>{len(str(total))}}/{total}[/] {text}", highlight=False, soft_wrap=True
        )

    def _table(self) -> Table:
        counts, left = self.counts(), self.seconds_left()
        grid = Table.grid(padding=(0, 2))
        line = Text.assemble(
            (f"{counts['done']} done", "green"), "  ", (f"{counts['running']} running", "cyan"), "  ",
            (f"{counts['failed']} failed", "red" if counts["failed"] else "dim"), "  ",
            (f"{counts['cached']} cached", "dim"), "  ", f"{counts['waiting']} waiting", "  ",
            f"{duration(time.monotonic() - self.begun)} so far",
            f", about {duration(left)} left" if left is not None else "",
        )  # fmt: skip
        grid.add_row(line)
        for key in list(self.last)[:_SHOWN]:
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in self.last[key].items())
            grid.add_row(Text(f"  {self.queue.nodes[key].name}  {numbers}", style="dim"))
        return grid


def duration(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
