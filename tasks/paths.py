"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def from_home(name: str) -> Path:
    """Return the path of a name in which `~` is the home folder.

    `~somebody` who is not known here stays as it is: then no such folder is found, which is what to say.
    """
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises a bare RuntimeError
