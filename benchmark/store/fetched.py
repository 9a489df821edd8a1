"""Files of records that were fetched from an object store, kept on this machine for the next trial."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmark.store.files import Root, sha256
from reports.record import File

UNUSED_SECONDS = 86400.0
"""How long ago the last trial must have asked for an attempt's folder before it is removed. Trials load what
they start from early, and end within their `timeout`, two hours unless the sweep says otherwise."""


def fetch(store: Root, key: str, files: Iterable[File], target: Path) -> None:
    """Fetch an attempt's files into a folder, whole or not at all; one that is there is left as it is.

    Folders of the record's earlier attempts, which nothing asks for again, are removed beside it.

    Args:
        store: an object store.
        key: fingerprint of the record.
        files: of one attempt.
        target: the folder, called like the attempt.

    Raises:
        OSError: a file cannot be fetched, or arrives damaged.
    """
    if target.exists():
        with contextlib.suppress(OSError):  # Another user's cache is as good.
            os.utime(target)
        _remove_unused(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as folder:
        for file in files:
            local = Path(folder, "files", file.path.removeprefix(f"{file.attempt}/"))
            local.parent.mkdir(parents=True, exist_ok=True)
            store.fs.get_file(store.path("records", key, file.path), str(local))
            if sha256(local) != file.sha256:
                raise OSError(f"{file.path} of record {key[:12]} arrived damaged")
        with contextlib.suppress(OSError):  # Another process was first.
            Path(folder, "files").rename(target)
    _remove_unused(target)


def _remove_unused(newest: Path) -> None:
    """Remove what earlier attempts, and fetches that were killed, have left beside the newest attempt."""
    for other in newest.parent.iterdir():
        # Another process may remove it at this moment.
        with contextlib.suppress(OSError):
            if other != newest and time.time() - other.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
