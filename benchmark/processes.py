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
    """Unix time in seconds; process numbers are used again."""

    @classmethod
    def own(cls) -> Process:
        """This one."""
        return cls(machine(), os.getpid(), psutil.Process().create_time())

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended; of another machine's nothing is known."""
        if self.machine != machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) > 1
        except psutil.NoSuchProcess:
            return True


def machine() -> str:
    """Return the name of this machine as `Process.machine` has it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
        parts += [str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(parts)
