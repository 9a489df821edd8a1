"""Object stores as file systems that fail like one: with an OSError, and not at the first lost connection."""

from __future__ import annotations

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
_PAUSES = (1.0, 4.0, 15.0, 40.0)
"""Seconds between tries; the libraries below have tried a few times already."""
# A file system says with these that it cannot do what is asked.
_ANSWERS = (OSError, ValueError, TypeError, NotImplementedError)


class ConnectionLost(OSError):
    """The store does not answer."""


class Remote:
    """Passes every call on to an fsspec file system of a remote store.

    A call whose connection is lost is made again for a minute. What then still fails, refused credentials for
    one, is an OSError, as callers expect of files.

    Args:
        fs: the file system.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        return _steady(found) if callable(found) else found


def _steady(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def steady(*args: Any, **options: Any) -> Any:
        for number, pause in enumerate((*_PAUSES, None)):
            try:
                return call(*args, **options)
            except Exception as error:
                if not _is_lost(error):
                    # Removed the first time, whose answer was lost.
                    if number and isinstance(error, FileNotFoundError) and call.__name__.startswith("rm"):
                        return None
                    if isinstance(error, _ANSWERS):
                        raise
                    raise OSError(f"{type(error).__name__}: {error}") from error
                if pause is None:
                    raise ConnectionLost(f"{type(error).__name__}: {error}") from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    return steady


def _is_lost(error: Exception) -> bool:
    known = isinstance(error, ConnectionError | TimeoutError)
    return known or any(word in type(error).__name__ for word in _LOST)
