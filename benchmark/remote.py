"""Object stores as file systems that fail like one: with an OSError, and not at the first lost connection."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

# What botocore, aiohttp and their kin call a connection that is gone; none of them is an OSError.
_LOST = ("Connection", "Connect", "Timeout", "Disconnected")
_PAUSES = (1.0, 4.0, 15.0, 40.0)
"""Seconds between tries; the libraries below have tried a few times already."""
# A file system says with these that it cannot do what is asked.
_ANSWERS = (OSError, ValueError, TypeError, NotImplementedError)


class Remote:
    """Passes every call on to an fsspec file system of a remote store.

    A call whose connection is lost is made again for a minute; every call here may be made twice. What then
    still fails, refused credentials for one, is an OSError, as callers expect of files.

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
        for pause in (*_PAUSES, None):
            try:
                return call(*args, **options)
            except _ANSWERS:
                raise
            except Exception as error:
                lost = any(word in type(error).__name__ for word in _LOST)
                if pause is None or not lost:
                    raise OSError(f"{type(error).__name__}: {error}") from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    return steady
