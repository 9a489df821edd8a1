"""The public Python API."""

from __future__ import annotations

import subprocess
import sys

import leanboard


def test_every_name_is_there_and_is_the_one_of_its_home():
    for name in leanboard.__all__:
        assert getattr(leanboard, name).__name__ == name


def test_importing_costs_nothing():
    code = "import sys, leanboard; print([m for m in ('torch', 'ray', 'pydantic', 'benchmark') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
