"""Whether files still are what their record says; a file's hash is computed once and remembered."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

from benchmark.store.files import CHUNK, Root
from benchmark.store.remote import steady
from reports.record import File

_FILE = "verified.json"


class Verifier:
    """Hashes of files below a root, known by size and time of change."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[str, list[Any]] = {}

    def check(self, path: str, file: File, info: Mapping[str, Any] | None, *, hashed: bool = True) -> None:
        """Compare a file with what its record says.

        Args:
            path: below `records/`.
            file: what the record says.
            info: what the file system says; None where there is no such file.
            hashed: whether its content is looked at too.

        Raises:
            ValueError: with what differs.
            OSError: a remote store does not answer as it should.
        """
        if info is None:
            raise ValueError(f"{file.path} is missing")
        if info["size"] != file.size:
            raise ValueError(f"{file.path} has {info['size']} bytes, not {file.size}")
        if hashed and self._hash(path, info) != file.sha256:
            raise ValueError(f"{file.path} has changed since it was written")

    def recall(self) -> None:
        """Read what earlier processes have hashed."""
        if not self._known:
            known = self._root.read_json(_FILE)
            self._known = known if isinstance(known, dict) else {}

    def remember(self) -> None:
        """Write down what has been hashed."""
        if self._known != (self._root.read_json(_FILE) or {}):
            # A store that can only be read is still readable; hashes are then computed each time.
            with contextlib.suppress(OSError):
                self._root.write_json(_FILE, self._known)

    def _hash(self, path: str, info: Mapping[str, Any]) -> str:
        stamp = str(info.get("mtime") or info.get("ETag") or info.get("LastModified") or "")
        known = self._known.get(path)
        if stamp and known and known[:2] == [info["size"], stamp]:
            return known[2]
        digest = self._digest if self._root.local else steady(self._digest, self._root.url)
        try:
            found = digest(path)
        except OSError as error:
            # Where a remote store does not answer as it should, that says nothing of the file.
            if not self._root.local and not isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} cannot be read: {error}") from None
        self._known[path] = [info["size"], stamp, found]
        return found

    def _digest(self, path: str) -> str:
        with self._root.fs.open(self._root.path("records", path), "rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
