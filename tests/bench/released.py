"""MobileBERT at its published widths against BERT-base: speed alone, so weights are drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

BATCH, LENGTH = 1, 128
WARM_UP, REPEATS = 5, 31


def measure() -> Iterator[str]:
    """Print milliseconds a pass and how many times as fast MobileBERT is, on one thread, in turns."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

    from methods.compact.mobilebert.configuration import mobilebert, mobilebert_tiny
    from methods.compact.mobilebert.model import BottleneckBertForSequenceClassification
    from methods.flops import forward_flops
    from methods.onnx_runtime import compiled, missing
    from methods.timing import interleaved, summary

    torch.set_num_threads(1)
    models: dict[str, PreTrainedModel] = {
        "BERT-base": BertForSequenceClassification(BertConfig()).eval(),
        "MobileBERT": BottleneckBertForSequenceClassification(mobilebert()).eval(),
        "MobileBERT-TINY": BottleneckBertForSequenceClassification(mobilebert_tiny()).eval(),
    }
    flops = {name: forward_flops(model, LENGTH) for name, model in models.items()}
    ids = torch.randint(1000, 30_000, (BATCH, LENGTH))
    calls: dict[tuple[str, str], Callable[[], object]] = {
        (name, "torch"): partial(model, input_ids=ids) for name, model in models.items()
    }
    with torch.inference_mode():
        for name, model in () if missing() else models.items():
            calls[name, "onnxruntime"] = compiled(model, ids, threads=1)
        times = interleaved(calls, warm_up=WARM_UP, repeats=REPEATS, device="cpu")
    median = {key: summary(milliseconds)["median_ms"] for key, milliseconds in times.items()}
    for (name, engine), milliseconds in median.items():
        faster, work = median["BERT-base", engine] / milliseconds, flops["BERT-base"] / flops[name]
        yield (
            f"{name}, batch {BATCH}, {LENGTH} tokens, {engine}: {milliseconds:.1f} ms, "
            f"{faster:.2f} times as fast as BERT-base (its FLOPs allow {work:.2f})"
        )
    if missing():
        yield f"onnxruntime: not measured, {', '.join(missing())} is not installed (extra `onnx`)"
