from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from tiny_tasks import PAIRS

from tasks import registry
from tasks.errors import BadInput
from tasks.glue import GLUE, SST2


@pytest.fixture
def plug_in(monkeypatch):
    """Pretend that installed packages register the given values."""

    def register(*values: str) -> None:
        points = [
            EntryPoint(name=f"p{i}", value=value, group=registry.GROUP) for i, value in enumerate(values)
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
        registry.tasks.cache_clear()

    yield register
    registry.tasks.cache_clear()


@pytest.mark.parametrize("name", ["sst2", "SST2", "SST-2", "sst-2"])
def test_names_and_aliases_in_any_case(name):
    assert registry.task(name) is SST2


def test_glue_is_there():
    assert set(registry.tasks()) >= {task.name for task in GLUE}


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(BadInput, match=r"unknown task 'mprc'.*did you mean 'mrpc'"):
        registry.task("mprc")


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(BadInput, match="cola, mnli, mrpc, qnli, rte, sst2, wnli"):
        registry.task("imagenet")


def test_a_package_brings_its_task(plug_in):
    plug_in("tiny_tasks:PAIRS")
    assert registry.task("Pairs") is PAIRS
    assert registry.task("rte").name == "rte"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:TASK", "no_such_module:TASK cannot be imported"),
        ("tiny_tasks:NO_SUCH_NAME", "cannot be imported"),
        ("tiny_tasks:WORDS", "is a list; it must be"),
        ("tasks.glue:RTE", "task name 'rte' is in use"),
    ],
)
def test_a_bad_plug_in_is_named(plug_in, value, message):
    plug_in(value)
    with pytest.raises(BadInput, match=message):
        registry.tasks()


def test_declarations_and_identities_need_no_heavy_library():
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'pyarrow'}"
    code = (
        "import sys, tasks.registry, tasks.glue, tasks.task, tasks.loading, tasks.prepare\n"
        "tasks.loading.identity(tasks.registry.task('rte'), 'nyu-mll/glue')\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
