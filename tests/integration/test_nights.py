"""Nights through the real command line, real Ray and real MLflow, on a tiny encoder whose code changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from transformers import BertConfig, BertModel, BertTokenizerFast

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("leanboard", "benchmark", "methods", "tasks", "reports")
CHANGED = Path("methods/baselines/finetune_more.py")
WORDS = [f"w{i}" for i in range(40)]
SWEEP = {
    "name": "tiny",
    "model": "./model",
    "data": "./data",
    "tasks": ["rte"],
    "methods": ["finetune", {"finetune-more": {"steps": 20}}],
    "seeds": 3,
    "train": {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "max_length": 16, "precision": "fp32"},
    "latency": None,
    "timeout": 300,
}


@pytest.fixture
def folder(tmp_path):
    """A sweep with its model and data, and a copy of the code that can be changed."""
    write_model(tmp_path / "model")
    write_data(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SWEEP))
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def write_model(folder: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)


def write_data(folder: Path) -> None:
    """RTE's layout; the words of the first sentence tell the class."""
    rng = np.random.default_rng(0)
    names = datasets.ClassLabel(names=["entailment", "not_entailment"])
    text, number = datasets.Value("string"), datasets.Value("int32")
    features = datasets.Features(sentence1=text, sentence2=text, label=names, idx=number)
    for split, count in (("train", 400), ("validation", 150)):
        labels = [i % 2 for i in range(count)]
        rows = {
            "sentence1": [" ".join(rng.choice(WORDS[20 * y : 20 * y + 20], 4)) for y in labels],
            "sentence2": [" ".join(rng.choice(WORDS, 4)) for _ in labels],
            "label": labels,
            "idx": list(range(count)),
        }
        file = folder / "rte" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    files = [{"split": split, "path": f"rte/{split}-*"} for split in ("train", "validation")]
    card = yaml.safe_dump({"configs": [{"config_name": "rte", "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}---\n")


def night(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `leanboard nightly` from the copied code."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_"))}
    environment = clean | {
        "PYTHONPATH": str(folder / "code"),
        "LEANBOARD_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "OMP_NUM_THREADS": "1",
        # Beside other tests Ray's niceness of 15 makes a worker wait many times as long as it works.
        "RAY_worker_niceness": "0",
    }
    command = [sys.executable, "-c", "from benchmark.cli import main; main()", "nightly", "tiny.yaml"]
    return subprocess.run(
        [*command, "--offline", "--cpus", "1", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        start_new_session=True,
    )


def published(folder: Path) -> list[dict]:
    nights = sorted((folder / "runs/tiny/nights").glob("*/night.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) for path in nights]


def test_code_that_loses_points_is_a_regression_and_the_rest_is_reused(folder):
    first = night(folder)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "This is the first night" in first.stdout
    board = json.loads((folder / "runs/tiny/leaderboard/leaderboard.json").read_text())
    medians = {row["label"]: row["median"] for row in board["rows"]}
    assert min(medians.values()) > 90, "the tiny encoder learns the task, so that there is something to lose"

    source = folder / "code" / CHANGED
    text = source.read_text()
    assert "\n        return model\n" in text
    source.write_text(
        text.replace(
            "\n        return model\n",
            "\n        model.classifier.weight.data.zero_()\n        return model\n",
        )
    )
    second = night(folder)
    assert second.returncode == 3, second.stdout + second.stderr
    assert "3 of 6 trials made since the last night, 3 reused" in second.stdout
    assert "the code of finetune-more:steps=20" in second.stdout
    assert "REGRESSION: finetune-more:steps=20 on rte" in second.stdout

    was, now = published(folder)
    assert now["compared_with"] == was["name"]
    made = {(t["label"], t["seed"]): t["ended"] for t in was["trials"]}
    again = {
        (t["label"], t["seed"]) for t in now["trials"] if made.get((t["label"], t["seed"])) != t["ended"]
    }
    assert again == {("finetune-more:steps=20", seed) for seed in range(1, 9)}
    assert [finding["confirmed"] for finding in now["findings"]] == [True]

    third = night(folder)
    assert third.returncode == 1, third.stdout + third.stderr
    assert "NOTHING WAS RUN" in third.stdout
    assert f"Still lost since night {now['name']}: finetune-more:steps=20 on rte" in third.stdout
