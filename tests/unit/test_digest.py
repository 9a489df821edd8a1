from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmark import digest as module
from benchmark.digest import LIBRARIES, digest, libraries, sources

KD = "methods.distillation.kd"
HEADS = "methods.pruning.sixteen_heads"
ROOT = Path(module.__file__).resolve().parent.parent


@pytest.fixture
def edited(monkeypatch, tmp_path):
    """Compute digests as if some modules held one more line."""

    inner = module._file.__wrapped__

    def compute(*changed: str) -> dict[str, str]:
        def file(name: str):
            path = inner(name)
            if path is None or name not in changed:
                return path
            copy = tmp_path / f"{name}.py"
            copy.write_text(path.read_text() + "\nEDITED = True\n")
            return copy

        monkeypatch.setattr(module, "_file", file)
        # The line imports nothing, so what is imported need not be found out again.
        for cached in (module.digest, module._content):
            cached.cache_clear()
        return {name: digest(name) for name in (KD, HEADS)}

    yield compute
    for cached in (module.digest, module._closure, module._imports, module._content):
        cached.cache_clear()


def test_nothing_changed_nothing_changes(edited):
    assert edited() == edited()


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        (KD, {KD}),
        ("methods.distillation.losses", {KD}),
        ("methods.distillation.student", {KD}),
        (HEADS, {HEADS}),
        ("methods.pruning.head_pruning", {HEADS}),
        ("methods.pruning.importance", {HEADS}),
        ("methods.sharing.shared_layers", set()),
        ("methods.baselines.finetune_more", set()),
        ("methods.fit", {KD, HEADS}),
        ("methods.run", {KD, HEADS}),
        ("methods.checkpoint", {KD, HEADS}),
        ("tasks.prepare", {KD, HEADS}),
        ("tasks.batches", {KD, HEADS}),
        ("reports.metrics", {KD, HEADS}),
        ("benchmark.trial.execute", {KD, HEADS}),
        ("benchmark.cli.tables", set()),
        ("benchmark.engine", set()),
        ("benchmark.progress", set()),
        ("reports.leaderboard", set()),
    ],
)
def test_a_changed_file_changes_the_digests_of_what_uses_it(edited, changed, affected):
    assert module._file(changed) is not None
    before, after = edited(), edited(changed)
    assert {name for name in before if before[name] != after[name]} == affected


@pytest.fixture
def forgotten():
    """Versions are read once a process; these tests read them anew, and leave none behind."""
    module._version.cache_clear()
    yield
    module._version.cache_clear()


def test_the_versions_of_libraries_are_part_of_it(edited, monkeypatch, forgotten):
    before = edited()
    module._version.cache_clear()
    monkeypatch.setattr(module, "version", lambda name: "0.0.1" if name == "torch" else version(name))
    after = edited()
    assert before[KD] != after[KD]
    assert before[HEADS] != after[HEADS]


def test_an_absent_library_is_said_to_be_absent(monkeypatch, forgotten):
    def absent(name):
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    assert set(libraries().values()) == {"absent"}
    assert tuple(libraries()) == LIBRARIES


@pytest.fixture
def plug_in(monkeypatch, tmp_path):
    """Write a plug-in's files; the digest of its module `module`, computed anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def compute(name: str, **files: str) -> str:
        for path, text in files.items():
            file = tmp_path / f"{path}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        importlib.invalidate_caches()
        for cached in vars(module).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
        return digest(name)

    return compute


def test_a_plug_in_has_a_digest_of_its_own(plug_in):
    before = plug_in("some_plug_in", some_plug_in="from methods.method import Method\nrate = 1\n")
    assert plug_in("some_plug_in") == before
    assert plug_in("some_plug_in", some_plug_in="from methods.method import Method\nrate = 2\n") != before


@pytest.mark.parametrize("how", ["import some_helper", "from some_helper import rate"])
def test_a_module_beside_a_plug_in_is_part_of_it(plug_in, how):
    before = plug_in("some_plug_in", some_plug_in=how, some_helper="import some_other", some_other="rate = 1")
    assert plug_in("some_plug_in", some_other="rate = 2") != before
    assert plug_in("some_plug_in", some_stranger="rate = 2", some_other="rate = 1") == before


def test_all_of_a_plug_ins_package_is_part_of_it(plug_in):
    files = {"some_pack/__init__": "", "some_pack/kd": "from . import rates", "some_pack/rates": "rate = 1"}
    before = plug_in("some_pack.kd", **files)
    assert plug_in("some_pack.kd", **{"some_pack/rates": "rate = 2"}) != before


def test_other_distributions_are_no_part_of_a_plug_in(plug_in, monkeypatch):
    owners = {"some_plug_in": ["one"], "some_helper": ["one"], "some_library": ["two"]}
    monkeypatch.setattr(module, "packages_distributions", lambda: owners)
    text = "import some_helper, some_library"
    before = plug_in("some_plug_in", some_plug_in=text, some_helper="", some_library="")
    assert plug_in("some_plug_in", some_library="rate = 2") == before
    assert plug_in("some_plug_in", some_helper="rate = 2") != before


def test_templates_are_part_of_a_package(tmp_path, monkeypatch):
    for name in ("a.py", "templates/page.html"):
        file = tmp_path / "reports" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "benchmark" / "digest.py"))
    now = sources.__wrapped__  # Of one process it is that of its beginning.
    before = now("reports")
    (tmp_path / "reports" / "__pycache__").mkdir()
    (tmp_path / "reports" / "__pycache__" / "a.pyc").write_text("x")
    assert now("reports") == before
    (tmp_path / "reports" / "templates" / "page.html").write_text("y")
    assert now("reports") != before


def test_it_imports_no_library_it_names():
    code = (
        "import sys; from benchmark.digest import digest, libraries; libraries(); "
        f"digest({KD!r}); print([m for m in ('torch', 'transformers', 'datasets', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
