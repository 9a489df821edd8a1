"""Fingerprints: what decides a result, as canonical JSON and its sha256."""

from __future__ import annotations

import hashlib
import json
from typing import Any

PROTOCOL = 1
"""Raised when the protocol itself changes what a trial's numbers mean."""


def canonical(content: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal contents give equal texts."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def fingerprint(content: Any) -> str:
    """The sha256 of the canonical JSON of `content`, as 64 hex digits."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()
