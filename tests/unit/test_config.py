from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter

from benchmark.config.load import load_sweep, make_sweep
from benchmark.config.sweep import Sweep
from benchmark.config.yaml_source import parse
from benchmark.trial.assignment import Assignment
from tasks.errors import BadInput

LEAST = "name: first\nmodel: minilm\ntasks: [rte]\nmethods: [finetune]\n"


def sweep_of(text: str) -> Sweep:
    source = parse(text, "s.yaml")
    return make_sweep(source.data, source)


def refused(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        sweep_of(text)
    return str(caught.value)


def test_four_keys_are_a_sweep():
    sweep = sweep_of(LEAST)
    assert (sweep.data, sweep.seeds, sweep.baseline) == ("nyu-mll/glue", (1, 2, 3, 4, 5), "finetune")
    assert sweep.train.epochs == 3
    assert sweep.latency is not None


def test_a_number_of_seeds_counts_from_one():
    assert sweep_of(LEAST + "seeds: 3\n").seeds == (1, 2, 3)
    assert sweep_of(LEAST + "seeds: [11, 7]\n").seeds == (11, 7)


@pytest.mark.parametrize("text", ["2e-5", "2E-5", "2.e-5", "2.0e-5", "0.00002"])
def test_exponents_are_numbers(text):
    assert sweep_of(LEAST + f"train: {{learning_rate: {text}}}\n").train.learning_rate == 2e-5


def test_exponents_are_numbers_in_margins_too():
    assert sweep_of(LEAST + "margins: {rte: 15e-1}\n").margins == {"rte": 1.5}


def test_resources_by_method():
    sweep = sweep_of(LEAST + "resources:\n  cpu: 2\n  methods: {kd: {cpu: 1, gpu: 0.5}}\n")
    assert sweep.resources.of("kd").gpu == 0.5
    assert sweep.resources.of("finetune").cpu == 2
    shared = sweep_of(
        LEAST + "resources:\n  cpu: 2\n  gpu: 0.5\n  methods: {kd: {cpu: 4}, auber: {gpu: 1}}\n"
    )
    of = {method: shared.resources.of(method) for method in ("kd", "auber", "finetune")}
    assert {method: (own.cpu, own.gpu) for method, own in of.items()} == {
        **{"kd": (4, 0.5), "auber": (2, 1), "finetune": (2, 0.5)},
    }


def test_latency_may_be_switched_off():
    assert sweep_of(LEAST + "latency: null\n").latency is None


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ("seed: 3\n", ["s.yaml:5", "seed: unknown key", "did you mean 'seeds'?"]),
        ("Name: x\n", ["s.yaml:5", "Name: unknown key", "did you mean 'name'?"]),
        ("str: x\n", ["s.yaml:5", "str: unknown key"]),
        ("'': x\n", ["s.yaml:5", "unknown key"]),
        ("'a[b]': x\n", ["s.yaml:5", "a[b]: unknown key"]),
        ("5: x\n", ["5: keys should be strings"]),
        ("null: x\n", ["keys should be strings, not None"]),
        ("train:\n  epoch: 3\n", ["s.yaml:6", "train.epoch: unknown key", "did you mean 'epochs'?"]),
        ("latency: {batch_size: [1]}\n", ["s.yaml:5", "latency.batch_size", "did you mean 'batch_sizes'?"]),
        (
            "resources: {methods: {kd: {cpus: 1}}}\n",
            ["s.yaml:5", "resources.methods.kd.cpus", "did you mean 'cpu'?"],
        ),
        ("train: {epochs: true}\n", ["s.yaml:5", "train.epochs", "valid number", "True"]),
        ("train: {batch_size: 1.5}\n", ["s.yaml:5", "train.batch_size", "integer"]),
        ("train: {batch_size: '16'}\n", ["s.yaml:5", "train.batch_size", "integer"]),
        ("train: {learning_rate: -1e-5}\n", ["train.learning_rate", "greater than 0"]),
        ("train: {learning_rate: .nan}\n", ["train.learning_rate", "nan"]),
        ("train: {learning_rate: .inf}\n", ["train.learning_rate", "inf"]),
        ("train: {precision: fp16}\n", ["train.precision", "'fp32' or 'bf16'"]),
        ("train: 3\n", ["s.yaml:5", "train"]),
        ("train: null\n", ["s.yaml:5", "train"]),
        ("seeds: 0\n", ["s.yaml:5", "seeds: needs at least one seed"]),
        ("seeds: true\n", ["s.yaml:5", "seeds"]),
        ("seeds: []\n", ["s.yaml:5", "seeds", "at least 1"]),
        ("seeds: [1, 2, 1]\n", ["s.yaml:5", "seeds: 1 appears twice"]),
        ("seeds: [1, true]\n", ["s.yaml:5", "seeds.1", "integer"]),
        ("seeds: 1.5\n", ["s.yaml:5", "seeds"]),
        ("limit: 3\n", ["s.yaml:5", "limit", "greater than or equal to 8"]),
        ("limit: {rte: 3}\n", ["s.yaml:5", "limit.rte", "greater than or equal to 8"]),
        ("limit: [8]\n", ["s.yaml:5", "limit", "integer"]),
        ("selection: 1\n", ["s.yaml:5", "selection: must be a share between 0 and 1 or a whole number"]),
        ("selection: 2.5\n", ["s.yaml:5", "selection: must be a share between 0 and 1 or a whole number"]),
        ("selection: 0\n", ["s.yaml:5", "selection: must be a share between 0 and 1 or a whole number"]),
        ("selection: true\n", ["s.yaml:5", "selection", "valid"]),
        ("timeout: 0\n", ["s.yaml:5", "timeout", "greater than 0"]),
        ("resources: {cpu: 0}\n", ["s.yaml:5", "resources.cpu", "greater than 0"]),
        ("margins: {rte: -1}\n", ["margins.rte: input should be greater than 0, not -1"]),
        ("latency: {batch_sizes: [0]}\n", ["s.yaml:5", "latency.batch_sizes.0", "greater than"]),
        ("latency: {batch_sizes: []}\n", ["s.yaml:5", "latency.batch_sizes", "at least 1"]),
        ("collapsed_teacher: ignore\n", ["collapsed_teacher", "'mark', 'redraw' or 'fail'"]),
    ],
)
def test_a_mistake_is_named_with_line_key_and_advice(change, fragments):
    message = refused(LEAST + change)
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize("text", ["0.5", "2", "150"])
def test_the_selection_is_a_share_or_a_count(text):
    selection = sweep_of(LEAST + f"selection: {text}\n").selection
    assert repr(selection) == text
    # A worker gets it as JSON, and the splits tell a count from a share by its type.
    read = TypeAdapter(Assignment.model_fields["selection"].annotation).validate_json(text)
    assert repr(read) == text


@pytest.mark.parametrize("key", ["name", "model", "tasks", "methods"])
def test_a_missing_key_is_named(key):
    text = "".join(line for line in LEAST.splitlines(keepends=True) if not line.startswith(key))
    assert f"{key}: is missing" in refused(text)


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ("tasks: [rte]", "tasks: []", "tasks: tuple should have at least 1"),
        ("tasks: [rte]", "tasks: [rte, sst2, rte]", "tasks: rte appears twice"),
        ("tasks: [rte]", "tasks: rte", "tasks"),
        ("methods: [finetune]", "methods: finetune", "methods: must be a list"),
        ("methods: [finetune]", "methods: {finetune: {}}", "methods: must be a list"),
        ("methods: [finetune]", "methods: []", "methods: tuple should have at least 1"),
        ("methods: [finetune]", "methods: [3]", "methods.0"),
        ("name: first", "name: a/b", "name"),
        ("name: first", "name: 2024", "name"),
        ("model: minilm", "model: ''", "model"),
    ],
)
def test_a_wrong_value_is_named(old, new, fragment):
    message = refused(LEAST.replace(old, new))
    assert fragment in message
    assert re.search(r"s\.yaml:[1-4]: ", message)


def test_every_mistake_is_told_at_once():
    message = refused(LEAST + "seed: 3\ntimeout: 0\n")
    assert len(message.splitlines()) == 2


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST + "train: {epochs: 3}\n")
    return path


def test_options_of_the_command_line_win(file):
    sweep = load_sweep(file, settings=["train.epochs=2", "limit=64"], seeds=2, limit=32, tasks=["sst2"])
    assert (sweep.train.epochs, sweep.seeds, sweep.limit, sweep.tasks) == (2, (1, 2), 32, ("sst2",))
    assert sweep.folder == file.parent


def test_set_reads_values_as_yaml(file):
    sweep = load_sweep(
        file, settings=["train.learning_rate=2e-5", "seeds=[4, 5]", "margins.rte=2", "latency=null"]
    )
    assert sweep.train.learning_rate == 2e-5
    assert sweep.seeds == (4, 5)
    assert sweep.margins == {"rte": 2}
    assert sweep.latency is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs", "--set train.epochs: write KEY=VALUE"),
        ("=3", "--set =3: write KEY=VALUE"),
        ("name.first=3", "--set name.first=3: 'name' holds no keys"),
        ("train.epochs=[1", "--set train.epochs=[1:1: not valid YAML"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean 'epochs'?"),
        ("train.epochs=true", "train.epochs"),
    ],
)
def test_a_wrong_setting_is_named(file, setting, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        load_sweep(file, settings=[setting])


def test_a_file_without_a_name_is_called_after_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST.replace("name: first\n", ""))
    assert load_sweep(path).name == load_sweep(str(path)).name == "mine"


@pytest.mark.parametrize("text", ["", "- a\n", "word\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"mine\.yaml: a sweep is a mapping of keys"):
        load_sweep(path)


def test_a_limit_is_a_number_or_one_by_task(file):
    assert load_sweep(file, settings=["limit={rte: 100, sst2: 3000}"]).limit == {"rte": 100, "sst2": 3000}
    message = refused(LEAST + "limit: {rte: 3}\n")
    assert len(message.splitlines()) == 1, "the other form of a limit is not spoken of"
