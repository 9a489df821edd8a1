"""A log of its own for every trial, in the store where `leanboard logs` finds it."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmark.periodic import every
from benchmark.store.files import log_name
from benchmark.store.store import Store
from benchmark.trial.assignment import Assignment
from tasks.cache import cache_folder

_COPY_SECONDS = 10


@contextlib.contextmanager
def trial_log(assignment: Assignment, store: Store) -> Iterator[IO[str]]:
    """Send what the trial prints and logs to a file of its own."""
    folder = Path(store.path("logs")) if store.local else cache_folder() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / log_name(assignment.name)
    with path.open("a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        key, host = assignment.fingerprint[:12], socket.gethostname()
        file.write(f"== {time.strftime('%F %T')} {assignment.name} {key} on {host}\n")
        file.flush()
        copies = _copied(path, store) if not store.local else contextlib.nullcontext()
        try:
            with copies, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield file
        finally:
            logging.getLogger().removeHandler(handler)


def _copied(path: Path, store: Store) -> contextlib.AbstractContextManager[None]:
    """Copy a growing log to a remote store now and then: a worker that is killed cannot do it at its end."""
    copied = -1

    def copy() -> None:
        nonlocal copied
        size = path.stat().st_size
        if size != copied:
            store.fs.put_file(str(path), store.path("logs", path.name))
            copied = size

    return every(_COPY_SECONDS, copy, at_both_ends=True)
