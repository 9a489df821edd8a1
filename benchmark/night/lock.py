"""A lock on an output: one nightly run at a time, in a folder or an object store.

The lock is a small file that its owner renews. A lock counts as abandoned when its process is known to be
dead (same machine) or has not renewed it for ten minutes (any machine). Creation is exclusive in folders and
in object stores that can create exclusively (S3's conditional put); elsewhere, and when an abandoned lock is
taken over, the owner writes, waits and looks whether its mark still stands: two runs that start within the
same second can then, very rarely, both go on. Two drivers on one store do no harm to records.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.cluster.processes import Process
from benchmark.store.store import Store
from tasks.errors import BadInput

FILE = "nightly.lock"
RENEWED_SECONDS = 60.0
ABANDONED_SECONDS = 600.0
_SETTLE_SECONDS = 1.0


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Hold the lock for the time of the block.

    Raises:
        BadInput: another run holds it: which one, and what to do.
    """
    own = _own_mark()
    _acquire(store, own)
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(store, own, over), name="nightly-lock", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        if _is_ours(store, own):
            store.fs.rm_file(store.path(FILE))


def _acquire(store: Store, own: dict[str, Any]) -> None:
    if _create(store, own):
        return
    holder = store.read_json(FILE)
    if holder is None:  # Released, or not yet written, at this very moment.
        time.sleep(_SETTLE_SECONDS)
        holder = store.read_json(FILE)
    if holder is not None and not _is_abandoned(holder):
        raise BadInput(_held(store, holder))
    store.write_json(FILE, own)
    time.sleep(_SETTLE_SECONDS)
    if not _is_ours(store, own):
        raise BadInput(_held(store, store.read_json(FILE) or {}))


def _create(store: Store, own: dict[str, Any]) -> bool:
    """Make the lock file unless it is there."""
    text, path = json.dumps(own).encode(), store.path(FILE)
    if store.local:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with Path(path).open("xb") as file:
                file.write(text)
        except FileExistsError:
            return False
        return True
    store.fs.invalidate_cache()
    # Some object stores take `create` for an ordinary write, so look first.
    if store.fs.exists(path):
        return False
    try:
        store.fs.pipe_file(path, text, mode="create")
    except FileExistsError:
        # A connection that was lost after the file was made brings this, too.
        return _is_ours(store, own)
    except (NotImplementedError, TypeError, ValueError, OSError):  # It cannot create exclusively.
        store.write_json(FILE, own)
        time.sleep(_SETTLE_SECONDS)
        return _is_ours(store, own)
    return True


def _renew(store: Store, own: dict[str, Any], over: threading.Event) -> None:
    while not over.wait(RENEWED_SECONDS):
        # An outage of the store shorter than ten minutes costs nothing.
        with contextlib.suppress(Exception):
            if not _is_ours(store, own):
                return
            store.write_json(FILE, own | {"renewed": time.time()})


def _is_ours(store: Store, own: dict[str, Any]) -> bool:
    return (store.read_json(FILE) or {}).get("token") == own["token"]


def _is_abandoned(holder: dict[str, Any]) -> bool:
    if time.time() - holder.get("renewed", 0.0) > ABANDONED_SECONDS:
        return True
    return Process(holder.get("machine", ""), holder.get("pid", 0), holder.get("born", 0.0)).dead


def _own_mark() -> dict[str, Any]:
    now = time.time()
    return {
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        **Process.own()._asdict(),
        "since": now,
        "renewed": now,
    }


def _held(store: Store, holder: dict[str, Any]) -> str:
    since = time.strftime("%F %T", time.localtime(holder["since"])) if "since" in holder else "now"
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
    return (
        f"output {store.url}: another nightly run works here since {since} ({who}); wait for it to end, "
        f"or, if it is gone, remove {store.path(FILE)}"
    )
