"""Temporary folders of trials, which no kill leaves behind for good."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "leanboard-trial-"
_LOCK = ".lock"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder for the time of the block.

    A worker that is killed, by a timeout for one, leaves its folder, with gigabytes of teacher states in it;
    the next trial on the same machine removes it. Ownership is a file lock, which the kernel releases when
    the process dies.
    """
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        # Locked before it has its name: a lock file that is there and free is always one that was left.
        with (folder / ".locking").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / ".locking").rename(folder / _LOCK)
            yield folder


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # One that is locked, another user's, or being made or removed at this moment.
        with contextlib.suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
