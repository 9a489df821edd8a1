"""Object stores as file systems that fail like one: with an OSError, and not at the first lost connection."""

from __future__ import annotations

import errno
import functools
import time
from collections.abc import Callable
from typing import Any

# What botocore, aiohttp and Azure's library call a connection that is gone; few of these are OSErrors.
_LOST = (
    "Connection",
    "Connect",
    "Timeout",
    "Disconnected",
    "ClientOSError",
    "ServiceRequest",
    "ServiceResponse",
)
# What s3fs makes of answers that say to come back later: 503 (SlowDown), 500, and codes it does not know.
# EREMOTEIO is Linux's alone; elsewhere s3fs says EIO.
_BUSY = (errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO))
_PAUSES = (1.0, 4.0, 15.0, 40.0)
"""Seconds between tries; the libraries below have tried a few times already."""
# A file system says with these that it cannot do what is asked.
_ANSWERS = (OSError, ValueError, TypeError, NotImplementedError)


class ConnectionLost(OSError):
    """The store does not answer, or is too busy to."""


class Refused(PermissionError):
    """The store refuses access, which says nothing of what lies in it."""


class Remote:
    """Passes every call on to an fsspec file system of a remote store.

    A call whose connection is lost, or that the store is too busy for, is made again for a minute. What then
    still fails, refused credentials for one, is an OSError, as callers expect of files.

    Args:
        fs: the file system.
        url: of the store, for messages.
    """

    def __init__(self, fs: Any, url: str) -> None:
        self._fs = fs
        self._url = url

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        return steady(found, self._url) if callable(found) else found


def steady(call: Callable[..., Any], url: str) -> Callable[..., Any]:
    """Return a call to the store at `url` that is made again for a minute while there is no answer.

    What is returned raises:
        ConnectionLost: there was no answer in all that time.
        Refused: the store refuses access.
    """

    @functools.wraps(call)
    def again(*args: Any, **options: Any) -> Any:
        for number, pause in enumerate((*_PAUSES, None)):
            try:
                return call(*args, **options)
            except Exception as error:
                if not _is_lost(error):
                    # Removed the first time, whose answer was lost.
                    if number and isinstance(error, FileNotFoundError) and call.__name__.startswith("rm"):
                        return None
                    if isinstance(error, PermissionError) and error.filename is None:
                        raise _refused(error, url) from error
                    if isinstance(error, _ANSWERS):
                        raise
                    raise OSError(f"{type(error).__name__}: {error}") from error
                if pause is None:
                    raise ConnectionLost(f"{type(error).__name__}: {error}") from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    return again


def _refused(error: PermissionError, url: str) -> Refused:
    reason = f"access is refused ({error}); renew the credentials and run the same command again"
    # With a file name the command line prints it without a traceback.
    return Refused(errno.EACCES, reason, url)


def _is_lost(error: Exception) -> bool:
    if isinstance(error, ConnectionLost):  # A call made of such calls has waited already.
        return False
    known = isinstance(error, ConnectionError | TimeoutError)
    # Errors of local files, which some calls read or write, have a file name.
    busy = isinstance(error, OSError) and error.errno in _BUSY and error.filename is None
    return known or busy or any(word in type(error).__name__ for word in _LOST)
