from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from tiny_hub import Repository, serve
from tiny_tasks import FEATURES, PAIRS, own_cache, rows, write_data

from tasks.errors import BadInput
from tasks.loading import identity, load

REVISION = PAIRS.revision


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    own_cache(monkeypatch, tmp_path / "hf")
    return tmp_path / "hf"


@pytest.fixture
def no_network(monkeypatch):
    """Record and refuse every attempt to look up a host or to connect."""
    attempts = []

    def refuse(*args, **kwargs):
        attempts.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


def cached_copy(cache: Path, data: Path, revision: str) -> None:
    """Put the folder's data where `datasets` keeps what it got from the Hub at `revision`."""
    datasets.load_dataset(str(data), "pairs")
    version = cache / "pairs-data" / "pairs" / "0.0.0"
    (built,) = (folder for folder in version.iterdir() if folder.is_dir())
    shutil.copytree(built, cache / "someone___pairs-data" / "pairs" / "0.0.0" / revision)


def test_a_folder_gives_its_train_and_validation_splits(tmp_path):
    splits = {name: rows(20, seed) for seed, name in enumerate(("train", "validation", "test"))}
    splits["test"]["label"] = [-1] * 20
    data = load(PAIRS, str(write_data(tmp_path / "data", splits)))
    assert set(data) == {"train", "validation"}
    assert data["train"]["first"][:] == splits["train"]["first"]
    assert data["validation"]["label"][:] == splits["validation"]["label"]


def test_folders_of_one_name_and_changed_files_are_told_apart(tmp_path):
    for number, place in enumerate(("one/data", "two/data", "two/data")):
        splits = {"train": rows(20 + number, seed=number), "validation": rows(10, seed=number)}
        data = load(PAIRS, str(write_data(tmp_path / place, splits)))
        assert data["train"]["first"][:] == splits["train"]["first"]


def test_a_folder_is_read_without_a_network_and_without_noise(tmp_path, no_network, capfd):
    folder = write_data(tmp_path / "data")
    capfd.readouterr()
    load(PAIRS, str(folder))
    assert not no_network
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()


def test_plain_integer_labels_are_taken(tmp_path):
    content = {"train": rows(20), "validation": rows(20)}
    data = load(PAIRS, str(write_data(tmp_path / "data", content, features=None)))
    assert data["train"]["label"][:] == content["train"]["label"]


def without(column: str) -> dict[str, list]:
    return {name: values for name, values in rows(20).items() if name != column}


def having(**changes: list) -> dict[str, list]:
    return {**rows(20), **changes}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (without("second"), "split 'train': column 'second' is missing; there are: first, label"),
        (without("label"), "column 'label' is missing; there are: first, second"),
        (having(label=[0, 1] * 9 + [0, 2]), "labels range from 0 to 2, the 2 classes are 0 to 1"),
        (having(label=[-1] * 20), "labels range from -1 to -1.*-1 marks examples without a label"),
        (having(label=["no", "yes"] * 10), "column 'label' is .*labels are class ids"),
        (having(label=[0.0, 1.0] * 10), "column 'label' is .*labels are class ids"),
        (having(label=[0, None] * 10), "column 'label' lacks a value in 10 rows"),
        (having(first=["a"] * 19 + [None]), "column 'first' lacks a value in 1 rows"),
        (having(first=list(range(20))), "column 'first' is .*holds strings"),
    ],
)
def test_data_that_is_not_as_declared(tmp_path, train, message):
    folder = write_data(tmp_path / "data", {"train": train, "validation": train}, features=None)
    with pytest.raises(BadInput, match=rf"data: {folder}, task 'pairs', .*{message}"):
        load(PAIRS, str(folder))


@pytest.mark.parametrize("names", [["yes", "no"], ["no", "maybe"], ["no", "yes", "maybe"]])
def test_other_class_names(tmp_path, names):
    features = datasets.Features({**FEATURES, "label": datasets.ClassLabel(names=names)})
    folder = write_data(tmp_path / "data", features=features)
    with pytest.raises(BadInput, match=f"has the classes {', '.join(names)}, the task declares no, yes"):
        load(PAIRS, str(folder))


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_an_empty_split(tmp_path, empty):
    splits = {"train": rows(20), "validation": rows(20), empty: rows(0)}
    with pytest.raises(BadInput, match=f"split '{empty}' is empty"):
        load(PAIRS, str(write_data(tmp_path / "data", splits)))


def test_a_missing_split(tmp_path):
    with pytest.raises(BadInput, match="split 'validation' is missing; there are: train"):
        load(PAIRS, str(write_data(tmp_path / "data", {"train": rows(20)})))


@pytest.mark.parametrize("ask", [load, identity])
def test_a_folder_without_the_task(tmp_path, ask):
    folder = write_data(tmp_path / "data")
    task = PAIRS.model_copy(update={"config": "triples"})
    with pytest.raises(BadInput, match=r"lists no configuration 'triples' \(listed: pairs\)"):
        ask(task, str(folder))


@pytest.mark.parametrize("ask", [load, identity])
def test_a_folder_whose_files_are_gone(tmp_path, ask):
    folder = write_data(tmp_path / "data")
    shutil.rmtree(folder / "pairs")
    with pytest.raises(BadInput, match=r"holds no files for task 'pairs' \(looked for pairs/train-"):
        ask(PAIRS, str(folder))


@pytest.mark.parametrize("ask", [load, identity])
def test_an_empty_folder(tmp_path, ask):
    with pytest.raises(BadInput, match=r"lists no configuration 'pairs' \(listed: none\)"):
        ask(PAIRS, str(tmp_path))


@pytest.mark.parametrize("ask", [load, identity])
def test_a_readme_that_does_not_parse(tmp_path, ask):
    (tmp_path / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(BadInput, match=r"the head of .*README.md is no YAML"):
        ask(PAIRS, str(tmp_path))


def test_a_damaged_file(tmp_path):
    folder = write_data(tmp_path / "data")
    (file,) = folder.glob("pairs/train-*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="cannot be read as task 'pairs'"):
        load(PAIRS, str(folder))


@pytest.mark.parametrize("ask", [load, identity])
@pytest.mark.parametrize("source", ["no-such-folder", "/no/such/folder", "../nowhere/at/all"])
def test_a_source_that_is_nothing(source, ask):
    with pytest.raises(BadInput, match="neither a folder nor a Hub id"):
        ask(PAIRS, source)


@pytest.mark.parametrize("ask", [load, identity])
def test_another_hub_id_names_its_commit(ask):
    with pytest.raises(BadInput, match=r"'other/copy@<40 hex digits>'"):
        ask(PAIRS, "other/copy")


def test_identity_on_the_hub_is_the_commit(no_network):
    assert identity(PAIRS, "someone/pairs-data") == {"revision": REVISION}
    assert identity(PAIRS, f"other/copy@{'a' * 40}") == {"revision": "a" * 40}
    assert not no_network


def test_identity_of_a_folder_is_its_content(tmp_path):
    one = write_data(tmp_path / "one")
    found = identity(PAIRS, str(one))
    shutil.copytree(one, tmp_path / "two")
    assert identity(PAIRS, str(tmp_path / "two")) == found
    assert set(found) == {"sha256"}


def test_identity_follows_every_file_and_the_layout_but_no_prose(tmp_path):
    folder = write_data(tmp_path / "data")
    before = identity(PAIRS, str(folder))
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\nMore prose.\n")
    (folder / "other").mkdir()
    (folder / "other" / "train.parquet").write_bytes(b"of another task")
    assert identity(PAIRS, str(folder)) == before

    write_data(folder, {"train": rows(300, seed=1), "validation": rows(60, seed=3)})
    changed = identity(PAIRS, str(folder))
    assert changed != before
    readme.write_text(readme.read_text().replace("split: validation", "split: test"))
    assert identity(PAIRS, str(folder)) != changed


@pytest.mark.parametrize(
    "data_files",
    ["'pairs/*'", "['pairs/train-*', 'pairs/validation-*']", "[{split: train, path: ['pairs/*']}]"],
)
def test_every_way_to_list_files_is_hashed(tmp_path, data_files):
    folder = write_data(tmp_path / "data")
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: pairs\n  data_files: {data_files}\n---\n"
    )
    before = identity(PAIRS, str(folder))
    (file,) = folder.glob("pairs/train-*")
    file.write_bytes(b"changed")
    assert identity(PAIRS, str(folder)) != before


def test_a_task_without_configuration_is_the_whole_folder(tmp_path):
    task = PAIRS.model_copy(update={"config": None})
    for split in ("train", "validation"):
        datasets.Dataset.from_dict(rows(20), features=FEATURES).to_parquet(tmp_path / f"{split}.parquet")
    assert len(load(task, str(tmp_path))["train"]) == 20
    before = identity(task, str(tmp_path))
    datasets.Dataset.from_dict(rows(30), features=FEATURES).to_parquet(tmp_path / "train.parquet")
    assert identity(task, str(tmp_path)) != before


def test_offline_reads_the_cached_copy_of_the_pinned_commit(tmp_path, cache, no_network):
    cached_copy(cache, write_data(tmp_path / "pairs-data"), REVISION)
    assert len(load(PAIRS, "someone/pairs-data", offline=True)["train"]) == 300
    assert not no_network
    assert not datasets.config.HF_HUB_OFFLINE


def test_what_came_from_the_hub_is_there_when_the_hub_is_gone(tmp_path):
    """In processes of their own: the Hub's client reads its endpoint when it is imported."""
    code = (
        "import sys; from tiny_tasks import PAIRS; from tasks.loading import load\n"
        "data = load(PAIRS, PAIRS.path, offline='offline' in sys.argv)\n"
        "print({split: len(rows) for split, rows in data.items()})"
    )
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(tests.parents[1]), str(tests)]),
    }
    folder = write_data(tmp_path / "hub", {"train": rows(20), "validation": rows(10), "test": rows(5)})
    with serve(Repository(folder, PAIRS.path, REVISION)) as url:
        environment["HF_ENDPOINT"] = url
        online = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    offline = subprocess.run(
        [sys.executable, "-c", code, "offline"], env=environment, capture_output=True, text=True
    )
    for done in (online, offline):
        assert (done.stdout, done.stderr) == ("{'train': 20, 'validation': 10}\n", "")


def test_offline_refuses_the_cached_copy_of_another_commit(tmp_path, cache, no_network):
    cached_copy(cache, write_data(tmp_path / "pairs-data"), "f" * 40)
    with pytest.raises(BadInput, match=f"is commit {'f' * 40}, not {REVISION}; remove"):
        load(PAIRS, "someone/pairs-data", offline=True)


def test_offline_without_a_cached_copy(no_network):
    with pytest.raises(
        BadInput, match=r"cannot be read from 'someone/pairs-data' offline: .*leanboard prefetch"
    ):
        load(PAIRS, "someone/pairs-data", offline=True)
    assert not no_network


def test_offline_with_a_cached_copy_of_other_tasks_only(tmp_path, cache, no_network):
    cached_copy(cache, write_data(tmp_path / "pairs-data"), REVISION)
    task = PAIRS.model_copy(update={"config": "triples"})
    with pytest.raises(BadInput, match=r"task 'pairs' cannot be read .*leanboard prefetch"):
        load(task, "someone/pairs-data", offline=True)
    assert not no_network


@pytest.mark.parametrize(
    "error", [ConnectionError("name not known"), OSError("reset"), RuntimeError("client closed")]
)
def test_a_failing_network_comes_with_advice(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(BadInput, match=rf"{error}; check the network; .*`leanboard prefetch`.*`--offline`"):
        load(PAIRS, "someone/pairs-data")


def test_lack_of_memory_is_not_taken_for_the_network(monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(MemoryError):
        load(PAIRS, "someone/pairs-data")


def test_several_validation_splits_are_one_after_the_other(tmp_path):
    splits = {"train": rows(40), "validation_a": rows(10, seed=1), "validation_b": rows(15, seed=2)}
    write_data(tmp_path, splits)
    task = PAIRS.model_copy(update={"validation": ("validation_a", "validation_b")})
    data = load(task, str(tmp_path))
    assert data["validation"]["first"][:] == splits["validation_a"]["first"] + splits["validation_b"]["first"]
    assert len(data["train"]) == 40
    with pytest.raises(BadInput, match="split 'validation_c' is missing"):
        load(PAIRS.model_copy(update={"validation": ("validation_c",)}), str(tmp_path))
