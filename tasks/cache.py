"""What is prepared once on a machine: where it lies, and that it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import BadInput


def cache_folder() -> Path:
    """Where this machine keeps tokens and fetched files; `LEANBOARD_CACHE` moves it."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leanboard"
    return Path(os.environ.get("LEANBOARD_CACHE") or default)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, and name it `folder` at the end unless another process was first.

    Raises:
        BadInput: it cannot be written.
    """
    # Not mkdtemp, whose folders are closed to the other users who share the cache.
    own = folder.parent / f".writing-{uuid.uuid4().hex}"
    try:
        own.mkdir(parents=True)
        yield own
        os.replace(own, folder)  # noqa: PTH105 - atomic, and refuses a folder that is there and full
    except OSError as error:
        if not folder.is_dir():
            raise BadInput(
                f"cache: {folder.parent} cannot be written: {error}; choose another folder"
            ) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Give a file to write into, and put it in the place of `file` at the end: whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's number: containers that share a folder have the same ones. What a kill has left there
    # is not removed, as it may be what another driver's attempt is writing.
    own = file.with_name(f"{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield own
        os.replace(own, file)  # noqa: PTH105 - atomic
    finally:
        own.unlink(missing_ok=True)
