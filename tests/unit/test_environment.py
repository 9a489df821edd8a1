from __future__ import annotations

import json
import subprocess

import pytest

from benchmark import environment
from benchmark.environment import facts, git_state, resolve
from methods.settings import Training


@pytest.fixture(autouse=True)
def forget():
    caches = (environment.git_state, environment.has_bf16, environment.processor)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize(
    ("has_bf16", "gpus", "device", "precision", "expected"),
    [
        (True, 0, "auto", "auto", ("cpu", "bf16")),
        (False, 0, "auto", "auto", ("cpu", "fp32")),
        (False, 0.5, "auto", "auto", ("cuda", "bf16")),
        (True, 1, "auto", "fp32", ("cuda", "fp32")),
        (False, 0, "cpu", "bf16", ("cpu", "bf16")),
        (True, 0, "mps", "auto", ("mps", "fp32")),
        (False, 0, "cuda", "auto", ("cuda", "bf16")),
        (True, 1, "cpu", "auto", ("cpu", "bf16")),
    ],
)
def test_auto_is_resolved_by_what_the_trial_gets(monkeypatch, has_bf16, gpus, device, precision, expected):
    monkeypatch.setattr(environment, "has_bf16", lambda: has_bf16)
    monkeypatch.setattr(environment.sys, "platform", "linux")
    training = resolve(Training(device=device, precision=precision), gpus)
    assert (training.device, training.precision) == expected


def test_apple_processors_have_their_own_device(monkeypatch):
    monkeypatch.setattr(environment, "has_bf16", lambda: True)
    monkeypatch.setattr(environment.sys, "platform", "darwin")
    monkeypatch.setattr(environment.platform, "machine", lambda: "arm64")
    training = resolve(Training(), 0)
    assert (training.device, training.precision) == ("mps", "fp32")


def test_other_settings_stay(monkeypatch):
    assert resolve(Training(epochs=7, warmup=0.0), 0).epochs == 7


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512_bf16 x", True), ("fpu amx_bf16", True), ("fpu avx512f", False), ("sve bf16 i8mm", True)],
)
def test_bf16_is_read_from_the_processor(monkeypatch, tmp_path, flags, expected):
    monkeypatch.setattr(environment.Path, "read_text", lambda self: f"model name : X\nflags : {flags}\n")
    assert environment.has_bf16() is expected
    assert environment.processor() == "X"


def test_facts_are_json_and_complete():
    found = json.loads(json.dumps(facts()))
    assert set(found) == {
        "python", "libraries", "host", "system", "processor", "cores", "memory_bytes", "git",
    }  # fmt: skip
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 2**28
    assert found["libraries"]["torch"].startswith("2.")


def git(folder, *words):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def test_commit_and_changes_of_a_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("LEANBOARD_GIT_COMMIT", raising=False)
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    assert git_state() == {}
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    environment.git_state.cache_clear()
    clean = git_state()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    environment.git_state.cache_clear()
    assert git_state() == {"commit": clean["commit"], "dirty": True}


def test_sources_installed_inside_a_checkout_are_not_its_own(monkeypatch, tmp_path):
    monkeypatch.delenv("LEANBOARD_GIT_COMMIT", raising=False)
    git(tmp_path, "init", "-q")
    (tmp_path / "venv").mkdir()
    monkeypatch.setattr(environment, "_ROOT", tmp_path / "venv")
    assert git_state() == {}


def test_sources_without_a_repository_are_told_their_commit(monkeypatch, tmp_path):
    """Those that the driver sends to a worker, and those of an image."""
    monkeypatch.setenv("LEANBOARD_GIT_COMMIT", "abc")
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    assert git_state() == {"commit": "abc", "dirty": False}
    environment.git_state.cache_clear()
    monkeypatch.setenv("LEANBOARD_GIT_DIRTY", "1")
    assert git_state() == {"commit": "abc", "dirty": True}


def test_a_checkout_knows_its_commit_better_than_an_image(monkeypatch, tmp_path):
    """A container with a checkout in it still has the variable of its image."""
    monkeypatch.setenv("LEANBOARD_GIT_COMMIT", "abc")
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    git(tmp_path, "init", "-q")
    assert git_state() == {"commit": "abc", "dirty": False}, "there is no commit yet"
    git(tmp_path, "commit", "-qm", "first", "--allow-empty")
    environment.git_state.cache_clear()
    assert len(git_state()["commit"]) == 40


def test_an_exception_s_device_is_that_of_the_resources_it_gets(tmp_path):
    from benchmark.config.load import make_sweep
    from benchmark.plan import job

    fields = {
        "name": "a",
        "model": "minilm",
        "data": "bundled",
        "tasks": ["rte"],
        "methods": ["finetune", "kd"],
    }
    resources = {"cpu": 2, "gpu": 1, "methods": {"kd": {"cpu": 4, "gpu": 0}}}
    sweep = make_sweep({**fields, "resources": resources}, folder=tmp_path)
    context = job.resolve(sweep, output=str(tmp_path / "out")).plan.context
    assert context.training.device == "cuda"
    assert context.training_by_method["kd"].device == "cpu"
