"""Models in onnxruntime, which runs on phones and servers what PyTorch has trained; an optional extra."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

PACKAGES = ("onnxruntime", "onnxscript")
"""The extra `onnx`: what runs a model, and what torch writes it by."""


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def compiled(model: PreTrainedModel, input_ids: Tensor, *, threads: int) -> Callable[[], NDArray[Any]]:
    """Return a function that gives the model's logits for these ids from onnxruntime, on the processor.

    The graph is of the ids' shape, and optimised as far as onnxruntime can, which fuses normalisation and
    activation where it knows them.

    Args:
        model: a classifier on the CPU, in eval mode.
        input_ids: ids of shape (batch, tokens), on the CPU.
        threads: that may compute at once.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work would otherwise keep the processor busy while something else is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names: dict[str, Any] = {"input_names": ["input_ids"], "output_names": ["logits"]}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model.onnx"))
        torch.onnx.export(
            model, (), path, kwargs={"input_ids": input_ids}, dynamo=True, verbose=False, **names
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"input_ids": input_ids.numpy()}
    return lambda: session.run(["logits"], given)[0]
