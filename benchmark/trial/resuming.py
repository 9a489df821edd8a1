"""Folders in which an attempt leaves the state that the next one resumes from."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from benchmark.digest import digest
from benchmark.periodic import every
from benchmark.plan.fingerprint import fingerprint
from benchmark.store.store import Store
from tasks.cache import cache_folder

COPY_SECONDS = 60.0
"""Between two looks for something new to bring to an object store."""
_LATEST = "latest.json"

Signature = dict[str, tuple[int, int]]
"""Time of change in nanoseconds and size of every file, by relative path."""


class Resuming:
    """The folders of one node, one for each code and start.

    They lie in the output, or, where that is an object store, on this machine with a copy in the store, so
    that another machine resumes what a lost one has left.

    Args:
        store: the output.
        key: the node's fingerprint.
    """

    def __init__(self, store: Store, key: str) -> None:
        self.store = store
        self.key = key
        self.root = Path(store.path("resume", key)) if store.local else cache_folder() / "resume" / key
        self._own = self.root
        self._copied: Signature = {}

    def open(self, module: str, origins: Mapping[str, float]) -> Path:
        """Return the folder that attempts of this code, from this start, share.

        What attempts of other code have left, or from prerequisites that have been made again, is removed.

        Args:
            module: of the work; its digest stands for the code.
            origins: `ended` of each prerequisite's record.
        """
        own = self.root / fingerprint({"digest": digest(module), "origins": dict(origins)})[:16]
        own.mkdir(parents=True, exist_ok=True)
        for other in set(self.root.glob("*")) - {own}:
            shutil.rmtree(other, ignore_errors=True)
        self._own = own
        if not self.store.local:
            # Another attempt may have removed its copy meanwhile; then this one starts from what is here.
            with contextlib.suppress(OSError):
                self._fetch()
        return own

    def copied(self) -> contextlib.AbstractContextManager[None]:
        """Bring what changes in the folder to an object store for the time of the block, once a minute."""
        return (
            contextlib.nullcontext()
            if self.store.local
            else every(COPY_SECONDS, self.copy, at_both_ends=False)
        )

    def clear(self) -> None:
        """Remove all of it: the record is written."""
        shutil.rmtree(self.root, ignore_errors=True)
        if not self.store.local:
            # What stays there for an outage is in nobody's way.
            with contextlib.suppress(OSError):
                folder = self.store.path("resume", self.key)
                if self.store.fs.exists(folder):
                    self.store.fs.rm(folder, recursive=True)

    def copy(self) -> None:
        """Copy the folder to the store if it has changed: all of it as it is at one moment, or nothing."""
        seen = _signature(self._own)
        if not seen or seen == self._copied:
            return
        name = uuid.uuid4().hex[:12]
        with tempfile.TemporaryDirectory(prefix=".copy-", dir=self.root) as folder:
            # Files are replaced and never changed, so a link holds one as it is now.
            for file in seen:
                Path(folder, file).parent.mkdir(parents=True, exist_ok=True)
                os.link(self._own / file, Path(folder, file))
            if _signature(self._own) != seen:
                return
            for file in seen:
                self.store.put_file(Path(folder, file), self._remote(name, file))
        latest = {"copy": name, "files": sorted(seen), "newest": max(time for time, _ in seen.values())}
        self.store.write_json(f"resume/{self.key}/{self._own.name}/{_LATEST}", latest)
        self._copied = seen
        for older in self.store.fs.ls(self._remote(), detail=False):
            if older.rsplit("/", 1)[-1] not in (name, _LATEST):
                self.store.fs.rm(older, recursive=True)

    def _fetch(self) -> None:
        """Take what another machine has copied, unless what is here is newer."""
        self.store.fs.invalidate_cache()
        latest = self.store.read_json(f"resume/{self.key}/{self._own.name}/{_LATEST}")
        here = max((time for time, _ in _signature(self._own).values()), default=-1)
        if latest is None or here >= latest["newest"]:
            return
        with tempfile.TemporaryDirectory(prefix=".copy-", dir=self.root) as folder:
            fetched = Path(folder, "files")
            for file in latest["files"]:
                target = fetched / file
                target.parent.mkdir(parents=True, exist_ok=True)
                self.store.fs.get_file(self._remote(latest["copy"], file), str(target))
            shutil.rmtree(self._own)
            fetched.rename(self._own)
        self._copied = _signature(self._own)

    def _remote(self, *parts: str) -> str:
        return self.store.path("resume", self.key, self._own.name, *parts)


def _signature(folder: Path) -> Signature:
    """Of the files of a folder but those that are being written."""
    found: Signature = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.suffix != ".tmp" and not name.startswith("unfinished"):
            facts = path.stat()
            found[name] = (facts.st_mtime_ns, facts.st_size)
    return found
