"""Folders in which an attempt leaves the state that the next one resumes from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmark.digest import digest
from benchmark.fingerprint import fingerprint
from benchmark.store import Store
from tasks.cache import cache_folder


class Resuming:
    """The folders of one node, one for each code and start; on this machine if the store is remote.

    Args:
        store: the output.
        key: the node's fingerprint.
    """

    def __init__(self, store: Store, key: str) -> None:
        self.root = Path(store.path("resume", key)) if store.local else cache_folder() / "resume" / key

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
        return own

    def clear(self) -> None:
        """Remove all of it: the record is written."""
        shutil.rmtree(self.root, ignore_errors=True)
