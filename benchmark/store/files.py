"""Files below one root, a folder or an object store; each is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec

from benchmark.store.remote import ConnectionLost, Remote
from tasks.cache import atomic_file
from tasks.errors import BadInput
from tasks.paths import from_home

CHUNK = 1 << 20
"""Bytes read or copied at once."""
_LONGEST = 200
"""Bytes of a log's name before its ending."""


def absolute(output: str) -> str:
    """Return an output as users write it as a URL or an absolute path; `~` is the home folder."""
    return output if "://" in output else str(from_home(output).resolve())


class Root:
    """A folder, or a URL that fsspec knows.

    Args:
        root: a folder or an fsspec URL such as `s3://bucket/sweep`.
    """

    def __init__(self, root: str) -> None:
        try:
            self.fs, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise BadInput(f"output {root!r}: {error}") from None
        self.root = str(path).rstrip("/")
        self.url = self.root if "://" not in root else root.rstrip("/")
        self.local = "file" in (
            self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)
        )
        if not self.local:
            self.fs = Remote(self.fs, self.url)

    def path(self, *parts: str) -> str:
        """The path of something below the root, as the file system knows it."""
        return "/".join([self.root, *parts])

    def address(self, *parts: str) -> str:
        """The path or URL of something below the root, as people write it."""
        return "/".join([self.url, *parts])

    def write_json(self, name: str, content: Any) -> None:
        """Write JSON below the root, whole or not at all."""
        self.write_text(name, json.dumps(content, indent=1, allow_nan=False))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file below the root, whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file below the root, whole or not at all."""
        target = self.path(*name.split("/"))
        if not self.local:
            self.fs.pipe_file(target, content)
            return
        with atomic_file(Path(target)) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def read_json(self, name: str) -> Any | None:
        """Read JSON below the root; None where it is absent or damaged."""
        try:
            return json.loads(self.fs.cat_file(self.path(*name.split("/"))))
        except (FileNotFoundError, ValueError):
            return None

    def reachable(self) -> bool:
        """Whether the store answers at all."""
        try:
            self.fs.info(self.root)
        except ConnectionLost:
            return False
        except OSError:
            return True
        return True

    def probe(self) -> None:
        """Make sure the store can be written.

        Raises:
            BadInput: it cannot, and why.
        """
        try:
            self.write_text(".writable", "")
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BadInput(
                f"output {self.url}: cannot be written ({reason}); choose another with -o"
            ) from None

    def put_file(self, source: Path, target: str) -> None:
        """Copy a local file to a path below the root, synced to disk where that is local."""
        self.fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        if not self.local:
            self.fs.put_file(str(source), target)
            return
        with source.open("rb") as reader, Path(target).open("wb") as writer:
            shutil.copyfileobj(reader, writer, CHUNK)
            writer.flush()
            os.fsync(writer.fileno())


def sha256(path: Path) -> str:
    """The sha256 of a local file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def log_name(node: str) -> str:
    """Return the name of the file that a node logs to, given the node's name.

    File systems take 255 bytes; a work within a work makes longer labels. Those are cut, and a digest of the
    whole keeps them apart.
    """
    plain = node.replace("/", "_")
    if len(plain.encode()) > _LONGEST:
        digest = hashlib.sha256(node.encode()).hexdigest()[:12]
        plain = f"{plain.encode()[: _LONGEST - 13].decode(errors='ignore')}-{digest}"
    return f"{plain}.log"
