"""Temporary folders of trials, which no kill leaves behind for good."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.processes import Process, machine

_PREFIX = "leanboard-trial"


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder for the time of the block.

    A worker that is killed, by a timeout for one, leaves its folder, with gigabytes of teacher states in it;
    the next trial on the same machine removes it.
    """
    _sweep()
    own = Process.own()
    prefix = f"{_PREFIX}-{_digest(own.machine)}-{own.pid}-{own.born:.2f}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)


def _sweep() -> None:
    """Remove the folders of this machine's processes that have ended."""
    here = _digest(machine())
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-{here}-*"):
        try:
            pid, born = folder.name.removeprefix(f"{_PREFIX}-{here}-").split("-")[:2]
            dead = Process(machine(), int(pid), float(born)).dead
        except ValueError:  # Not of this naming.
            continue
        if dead:
            shutil.rmtree(folder, ignore_errors=True)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
