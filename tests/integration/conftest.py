"""What integration tests share."""

from __future__ import annotations

import pytest
from small_world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A folder with a model, data and plug-ins, for the tests of one file."""
    return World.make(tmp_path_factory.mktemp("world"))
