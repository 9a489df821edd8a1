"""Pre-training throughput at the demo's size against the floor its own matrix products set, on one thread.

The floor of a step is the time of its matrix products alone, forward, by input and by weight, each measured here
in the same precision, and of moving what the optimiser must read and write once: weight, gradient and two
moments in, weight and two moments out, at the speed memory is copied. Everything else is overhead: norms, GELU,
softmax, look-ups, gradients kept and read again. Both are processor time of the quickest repeat, so what else
runs on the machine counts little.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

STEPS, WARM_UP, REPEATS = 10, 3, 5
ROUNDS, TURN = 4, 2
LEAST = {"fp32": 0.70, "bf16": 0.45}
PIPELINE = 5.0


def measure() -> Iterator[str]:
    """Print tokens per second, the floor's, and how much faster examples are made than used."""
    # As a worker has it.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    import torch

    from benchmark.environment import has_bf16
    from methods.pretraining.corpus import stream, texts
    from methods.pretraining.encoder import PretrainedEncoder

    torch.set_num_threads(1)
    work = PretrainedEncoder(share="none")
    with tempfile.TemporaryDirectory() as folder:
        text = texts(_run(Path(folder)), work)
        made = _examples_per_second(stream(text, work))
        yield f"pre-training examples alone: {made:,.0f} tokens/s"
        for precision in ["fp32", "bf16"] if has_bf16() else ["fp32"]:
            trained, per_step = _training(text, work, precision)
            floor = per_step / _floor(work, len(text.tokenizer.backend), precision)
            yield (
                f"pre-training, {precision}: {trained:,.0f} tokens/s, floor {floor:,.0f}: "
                f"{trained / floor:.2f} of it (at least {LEAST[precision]})"
            )
            yield f"examples ÷ pre-training, {precision}: {made / trained:.1f} (at least {PIPELINE:g})"
            yield _sharing(text, precision)


def _run(folder: Path) -> Any:
    import torch

    from methods.pretrained import Source
    from methods.run import SweepRun
    from methods.settings import Training
    from tasks.corpus.access import CorpusAccess
    from tasks.corpus.declaration import Corpus
    from tasks.seeds import Seeds

    return SweepRun(
        training=Training(precision="fp32", device="cpu"),
        seeds=Seeds.derive(1),
        device=torch.device("cpu"),
        model=Source("none", None, ""),
        results={},
        folder=folder,
        corpus=CorpusAccess(Corpus(source=os.environ["LEANBOARD_CORPUS"]).located(Path()), folder),
    )


def _examples_per_second(batches: Any) -> float:
    """Tokens per second of the stream alone, its first cut of a block left out as it serves thousands."""
    source = iter(batches)
    next(source)
    begun = time.process_time()
    tokens = sum(batch.tokens for batch in islice(source, 100))
    return tokens / (time.process_time() - begun)


def _steps(text: Any, work: Any, precision: str, count: int) -> Iterator[Any]:
    """The steps of the loop that pre-trains `work`, warm already."""
    import torch

    from methods.fit import decay_groups, descend
    from methods.pretraining.corpus import stream
    from methods.pretraining.heads import PretrainingModel, pretraining_loss
    from methods.pretraining.loop import make_optimizer
    from methods.sharing.albert.model import CompactAlbertConfig, CompactAlbertModel

    torch.manual_seed(0)
    encoder = CompactAlbertModel(CompactAlbertConfig(**work.configuration(len(text.tokenizer.backend))))
    encoder.set_attn_implementation("eager")
    model = PretrainingModel(encoder, pairs=True).train()
    steps = descend(
        model,
        make_optimizer(work, decay_groups(model, work.weight_decay)),
        iter(stream(text, work)),
        lambda model, batch: pretraining_loss(model, batch)[0],
        lambda step: 1e-4,
        steps=range(WARM_UP + count),
        bf16=precision == "bf16",
        accumulate=work.accumulation,
    )
    for _ in islice(steps, WARM_UP):
        pass
    return steps


def _quickest(steps: Iterator[Any]) -> tuple[float, int]:
    """Real tokens per second of the quickest of some steps, and real tokens in it."""
    found, begun = [], time.process_time()
    for step in steps:
        tokens = sum(batch.tokens for batch in step.batches)
        found.append((tokens / (time.process_time() - begun), tokens))
        begun = time.process_time()
    return max(found)


def _training(text: Any, work: Any, precision: str) -> tuple[float, int]:
    """Real tokens per second of the loop's quickest step, and real tokens in it."""
    return _quickest(_steps(text, work, precision, STEPS))


def _sharing(text: Any, precision: str) -> str:
    """Training speed of each kind of sharing as a multiple of none's; all take turns, so noise is shared."""
    from methods.pretraining.encoder import PretrainedEncoder

    shares = ("none", "all", "attention", "ffn")
    running = {
        share: _steps(text, PretrainedEncoder(share=share), precision, ROUNDS * TURN) for share in shares
    }
    speeds = dict.fromkeys(shares, 0.0)
    for _ in range(ROUNDS):
        for share, steps in running.items():
            speeds[share] = max(speeds[share], _quickest(islice(steps, TURN))[0])
    relative = ", ".join(f"{share} {speeds[share] / speeds['none']:.2f}" for share in shares[1:])
    return f"pre-training speed by sharing ÷ without, {precision}: {relative} (the work is the same)"


def _floor(work: Any, vocabulary: int, precision: str) -> float:
    """Seconds of one step's matrix products and of the optimiser's memory traffic."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    shape = work.configuration(vocabulary)
    hidden, narrow, wide = (shape[name] for name in ("hidden_size", "embedding_size", "intermediate_size"))
    heads, layers = shape["num_attention_heads"], shape["num_hidden_layers"]
    rows = work.batch_size // work.accumulation
    tokens = rows * work.length
    masked = round(0.15 * tokens)
    products = Counter(
        {
            (1, tokens, hidden, hidden): 4 * layers,
            (1, tokens, hidden, wide): layers,
            (1, tokens, wide, hidden): layers,
            (rows * heads, work.length, hidden // heads, work.length): layers,
            (rows * heads, work.length, work.length, hidden // heads): layers,
            (1, tokens, narrow, hidden): 1,
            (1, masked, hidden, narrow): 1,
            (1, masked, narrow, vocabulary): 1,
        }
    )
    seconds = sum(count * _three_products(*sizes, dtype) for sizes, count in products.items())
    per_layer = 4 * hidden * hidden + 2 * hidden * wide
    parameters = layers * per_layer + (vocabulary + shape["max_position_embeddings"]) * narrow
    return work.accumulation * seconds + 7 * 4 * parameters / _bytes_per_second()


def _three_products(batch: int, rows: int, inner: int, columns: int, dtype: Any) -> float:
    """Seconds of a product and of both its gradients; weights lie as a linear layer's do."""
    import torch

    left, right = torch.randn(batch, rows, inner).to(dtype), torch.randn(batch, columns, inner).to(dtype)
    above = torch.randn(batch, rows, columns).to(dtype)
    if batch == 1:
        left, right, above = left[0], right[0], above[0]
    return (
        _best(lambda: left @ right.transpose(-1, -2))
        + _best(lambda: above @ right)
        + _best(lambda: above.transpose(-1, -2) @ left)
    )


def _bytes_per_second() -> float:
    """Bytes read and written per second when memory is copied."""
    import torch

    source, target = torch.ones(1 << 24), torch.empty(1 << 24)
    return 2 * 4 * source.numel() / _best(lambda: target.copy_(source))


def _best(call: Callable[[], Any]) -> float:
    """The quickest of some repeats: what else runs on the machine only adds."""
    found = []
    for _ in range(REPEATS + 1):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return min(found[1:])
