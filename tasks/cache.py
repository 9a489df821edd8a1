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
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `folder` at the end, unless another process was first.

    Raises:
        BadInput: it cannot be written.
    """
    # Not mkdtemp, whose folders are closed to the other users who share the cache.
    temporary = folder.parent / f".writing-{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, folder)  # noqa: PTH105 - atomic, and refuses a folder that is there and full
    except OSError as error:
        if not folder.is_dir():
            raise BadInput(
                f"cache: {folder.parent} cannot be written: {error}; choose another folder"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there replaces `file` at the end, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's number: containers that share a folder have the same ones. What a kill has left there
    # is not removed, as it may be what another driver's attempt is writing.
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, file)  # noqa: PTH105 - atomic
    finally:
        temporary.unlink(missing_ok=True)
