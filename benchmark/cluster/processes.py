"""Which process left something behind, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import NamedTuple

import psutil


class Process(NamedTuple):
    """A process that can be told from others of its number."""

    machine: str
    """The host, its boot and the container's own numbering: what makes a process number mean something."""
    pid: int
    born: float
    """When it began, on a clock that nobody sets; process numbers are used again."""

    @classmethod
    def own(cls) -> Process:
        """This one."""
        return cls(machine(), os.getpid(), _born(os.getpid()))

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended; of another machine's nothing is known."""
        if self.machine != machine():
            return False
        try:
            return abs(_born(self.pid) - self.born) > 1
        except psutil.NoSuchProcess:
            return True


def _born(pid: int) -> float:
    """Seconds from boot to the beginning of a process where the kernel says it, else Unix time."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        # psutil adds the time of boot, which moves with every correction of the clock.
        return psutil.Process(pid).create_time()
    # The name, in brackets, may hold spaces.
    return int(facts.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Return the name of this machine as `Process.machine` has it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
        parts += [str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(parts)
