from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from benchmark.trial.scratch import scratch

_TRIAL = """
import time
from benchmark.trial.scratch import scratch
with scratch() as folder:
    (folder / "weights").write_text("many")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_it_is_gone_afterwards_even_if_the_trial_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), scratch() as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path):
    started = [
        subprocess.Popen([sys.executable, "-c", _TRIAL], stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    try:
        killed, living = (process.stdout.readline().strip() for process in started)
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait()
        (tmp_path / "leanboard-trial-of-another-kind").mkdir()
        with scratch() as own:
            found = {str(path) for path in tmp_path.iterdir()}
        assert found == {living, str(own), str(tmp_path / "leanboard-trial-of-another-kind")}
        assert killed not in found
    finally:
        for process in started:
            process.kill()
            process.wait()
