"""Commands that need neither Ray nor training, as a user types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmark import cli
from benchmark.config.load import load_sweep
from benchmark.plan.job import resolve
from benchmark.store.manifest import describe
from reports.record import Failure

COMMANDS = (
    "run", "plan", "nightly", "study", "status", "logs", "report", "compare", "sync", "ui", "list", "init", "schema", "prefetch",
    "doctor",
)  # fmt: skip
HEAVY = (
    "torch",
    "ray",
    "mlflow",
    "pandas",
    "scipy",
    "datasets",
    "transformers",
    "numpy",
    "matplotlib",
    "pyarrow",
)
SWEEP = """\
name: first
model: minilm
data: bundled
tasks: [rte]
methods: [finetune, {kd: {layers: 3}}]
seeds: 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "first.yaml").write_text(SWEEP)
    return tmp_path


def call(*words: str) -> str:
    done = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)


# -- help ------------------------------------------------------------------------------------------------


def test_help_teaches_the_way_through():
    text = plain(call("--help"))
    assert "leanboard init sweep.yaml" in text
    assert "Exit codes" in text
    for command in COMMANDS:
        assert re.search(rf"^\W*{command} +[A-Z]", text, re.MULTILINE), command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_explains_itself(command):
    text = plain(call(command, "--help"))
    lines = [line.strip("│ ") for line in text.splitlines()]
    assert next(line for line in lines if line and not line.startswith("Usage")).endswith(
        (".", "run.", "code 3")
    )
    options = [line for line in lines if line.startswith("--")]
    assert options, "only --help"
    for option in options:
        assert re.search(r"\s{2,}\S*.*[a-z]{2,}.*\.", option), f"{command} {option} is not explained"


def test_help_imports_nothing_heavy():
    code = "import sys\nfrom benchmark.cli import app\ntry:\n  app(['--help'])\nexcept SystemExit: pass\n"
    code += f"print('found', sorted({set(HEAVY)} & set(sys.modules)))"
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "found []", done.stderr


def test_help_takes_little_longer_than_importing_typer():
    def seconds(code: str) -> float:
        timed = f"import time; t = time.perf_counter()\n{code}\nprint(time.perf_counter() - t)"
        return min(float(python("-c", timed).stdout.splitlines()[-1]) for _ in range(3))

    help_ = "from benchmark.cli import app\ntry:\n  app(['--help'])\nexcept SystemExit: pass"
    assert seconds(help_) < 4 * seconds("import typer, typer.rich_utils, rich.console") + 0.2


def test_version():
    assert call("--version") == f"leanboard {version('leanboard')}\n"


def test_without_words_it_helps():
    done = CliRunner().invoke(cli.app, [])
    assert "Usage" in done.output


# -- setting up ------------------------------------------------------------------------------------------


def test_what_init_writes_can_be_planned(folder):
    assert "sweep.yaml written. Next: leanboard plan sweep.yaml" in call("init")
    content = json.loads(call("plan", "sweep.yaml", "--json"))
    assert content["trials"] == 4 * 2 * 5
    assert content["to_run"] == content["nodes"] == 40 + 10


def test_what_init_writes_explains_every_key(folder):
    call("init", "other.yaml")
    from benchmark.config.sweep import Sweep
    from benchmark.config.yaml_source import read

    text = (folder / "other.yaml").read_text()
    # The name is the file's unless the comment is taken away.
    assert {*read(folder / "other.yaml").data, "name"} == set(Sweep.model_fields)
    for key in Sweep.model_fields:
        assert re.search(rf"^(?:# )?{key}:.*#|^{key}:.*\n(  .*#.*\n|  .*\n)+", text, re.MULTILINE), key


def test_the_schema_is_json():
    content = json.loads(call("schema"))
    assert content["title"] == "Leanboard sweep"
    assert "kd" in content["properties"]["methods"]["items"]["anyOf"][0]["enum"]


def test_lists_of_methods_and_tasks():
    methods = json.loads(call("list", "methods", "--json"))
    assert {"finetune", "finetune-more", "random-heads", "sixteen-heads", "kd", "shared-layers"} <= {
        method["name"] for method in methods
    }
    assert all(field["meaning"] for method in methods for field in method["fields"].values())
    tasks = json.loads(call("list", "tasks", "--json"))
    assert [task["name"] for task in tasks] == ["rte", "mrpc", "sst2", "qnli", "cola", "mnli", "wnli"]
    assert {task["name"]: task["primary"] for task in tasks}["cola"] == "matthews"
    for what, word in (("methods", "finetune"), ("tasks", "Recognizing")):
        assert word in call("list", what)


def test_a_method_is_listed_with_the_words_its_fields_take_and_the_fields_within_them():
    (method,) = json.loads(call("list", "methods", "pea-kd", "--json"))
    assert method["fields"]["shuffle"]["values"] == ["none", "upper", "both", "lower"]
    assert method["fields"]["temperature"]["values"] == []
    (method,) = json.loads(call("list", "methods", "mobilebert", "--json"))
    assert method["fields"]["pair.strategy"]["values"] == ["akt", "jkt", "pkt", "none"]
    assert method["fields"]["pair.teacher.hidden"] == {
        **{"default": 128, "values": [], "meaning": "width between blocks, the student's too"},
    }
    shown = " ".join(call("list", "methods", "sixteen-heads").split())
    assert "budget.like" in shown and "example | token |" in shown


def test_listing_imports_nothing_heavy():
    code = "import sys\nfrom benchmark.cli import app\ntry:\n  app(['list', 'methods', '--json'])\n"
    code += f"except SystemExit: pass\nprint('found', sorted({set(HEAVY) - {'numpy'}} & set(sys.modules)))"
    assert python("-c", code).stdout.splitlines()[-1] == "found []"


# -- plan, status, logs ----------------------------------------------------------------------------------


def test_a_plan_names_what_is_missing(folder):
    content = json.loads(call("plan", "first.yaml", "--json"))
    assert (content["sweep"], content["trials"], content["nodes"], content["to_run"]) == ("first", 4, 6, 6)
    assert content["output"] == str(folder / "runs" / "first")
    assert {node["name"] for node in content["missing"]} == {
        f"{label}.rte.{seed}" for label in ("finetune", "kd:layers=3", "teacher-outputs") for seed in (1, 2)
    }
    assert content["disk_bytes"] > 2 * 80e6
    assert content["cache_bytes"] == 2 * 4 * 2 * (2490 - 498), "four bytes for each of two logits"
    assert not (folder / "runs").exists()


def test_a_plan_for_people():
    text = call("plan", "first.yaml")
    assert "kd:layers=3" in text
    assert "prerequisite" in text
    assert "6 of 6 nodes to run, 0 cached" in text


def test_a_dry_run_is_a_plan(folder):
    assert "6 of 6 nodes to run" in call("run", "first.yaml", "--dry-run")
    assert not (folder / "runs").exists()


def test_options_change_the_plan():
    def nodes(*words: str) -> set[str]:
        content = json.loads(call("plan", "first.yaml", "--json", *words))
        return {node["name"] for node in content["missing"]}

    assert nodes("-m", "finetune") == {"finetune.rte.1", "finetune.rte.2"}
    assert nodes("-m", "kd:layers=3") == nodes("-m", "kd") == nodes()
    two = ("--set", "methods=[finetune, {finetune: {epochs: 2}}, {kd: {layers: 2}}, {kd: {layers: 3}}]")
    assert nodes(*two, "-m", "finetune") == {"finetune.rte.1", "finetune.rte.2"}
    assert nodes(*two, "-m", "kd:layers=2") == nodes(*two, "-m", "kd") - {
        "kd:layers=3.rte.1",
        "kd:layers=3.rte.2",
    }
    assert nodes("-t", "sst2", "-m", "finetune") == {"finetune.sst2.1", "finetune.sst2.2"}
    assert nodes("-m", "finetune", "--seeds", "3") >= {"finetune.rte.3"}
    assert nodes("--set", "methods=[finetune]", "--set", "seeds=[9]") == {"finetune.rte.9"}


def test_the_output_can_be_chosen(folder):
    content = json.loads(call("plan", "first.yaml", "--json", "-o", "elsewhere"))
    assert content["output"] == str(folder / "elsewhere")


def test_planning_imports_neither_torch_nor_ray():
    code = "import sys\nfrom benchmark.cli import app\ntry:\n  app(['plan', 'first.yaml'])\n"
    code += "except SystemExit: pass\nprint('found', sorted({'torch', 'ray', 'mlflow', 'transformers', 'datasets', "
    code += "'pandas', 'scipy'} & set(sys.modules)))"
    assert python("-c", code).stdout.splitlines()[-1] == "found []"


@pytest.fixture
def begun(folder) -> Path:
    """A sweep that was started, with one failure and one log."""
    job = resolve(load_sweep(folder / "first.yaml"))
    describe(job, "leanboard run first.yaml").write(job.store)
    node = next(node for node in job.plan.nodes.values() if node.name == "kd:layers=3.rte.2")
    job.store.fail(
        Failure(
            fingerprint=node.fingerprint,
            attempt="a",
            label=node.label,
            task="rte",
            seed=2,
            kind="error",
            message="ValueError: shape [/red] [3]\nmore",
            traceback="Traceback (most recent call last):\n  File [x]\nValueError: shape [/red] [3]",
            log=str(folder / "runs/first/logs/kd.log"),
            started=1.0,
            ended=2.0,
        )
    )
    log = folder / "runs" / "first" / "logs" / "kd:layers=3.rte.2.log"
    log.parent.mkdir()
    log.write_text("line [/red] one\n")
    return folder / "runs" / "first"


@pytest.mark.parametrize("target", ["first.yaml", "runs/first"])
def test_status_counts(begun, target):
    content = json.loads(call("status", target, "--json"))
    assert (content["trials"], content["done"]) == (4, 0)
    assert [failure["kind"] for failure in content["failed"]] == ["error"]
    assert content["not_run"] == ["finetune.rte.1", "finetune.rte.2", "kd:layers=3.rte.1"]
    assert "0 / 1 / 1" in call("status", target)


def test_status_failed_says_why_and_where_the_log_is(begun):
    text = call("status", "first.yaml", "--failed")
    assert "kd:layers=3.rte.2  error: ValueError: shape [/red] [3]" in text
    assert "File [x]" in text
    assert str(begun / "logs" / "kd.log") in text


def test_logs_of_a_trial(begun):
    # Which sweep was meant is said beside the log.
    assert call("logs", "kd:layers=3.rte.2").endswith("kd:layers=3.rte.2.log\nline [/red] one\n")
    assert call("logs", "kd:layers=3.rte.2", "-o", str(begun)) == "line [/red] one\n"


def test_logs_are_those_of_the_sweep_that_ran_last(begun):
    """One that is resumed leaves its manifest as it is."""
    other = begun.parent / "later"
    shutil.copytree(begun, other)
    for folder, log, manifest in ((begun, 3000, 1000), (other, 1500, 2000)):
        os.utime(folder / "manifest.json", (manifest, manifest))
        for path in (folder / "logs").iterdir():
            os.utime(path, (log, log))
    assert f"# {begun}" in call("logs", "kd:layers=3.rte.2")


def test_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "from benchmark.cli import main; main()" schema | head -1'],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
