"""Operations: what each choice in MobileBERT's architecture costs in time, parameters and FLOPs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from methods.compact.mobilebert.mobilebert_transfer import MobileBertTransfer
from methods.pretraining.encoder import POSITIONS
from methods.study import Experiment, Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


class Operations(
    Experiment,
    name="operations",
    paper="Sun et al., ACL 2020, arXiv 2004.02984, sections 3.1 to 3.3",
    report="reports.studies.operations:report",
    once=True,
    alone=True,
    rows=True,
):
    """Time MobileBERTs that differ in one choice each, in PyTorch and in onnxruntime, on the processor.

    LayerNorm and NoNorm with GELU and ReLU, one to four feed-forward networks, 16 heads against 4, the widths
    between and inside blocks halved. Eval mode, fp32, a full sequence without padding, weights drawn at
    random since time does not depend on them; rounds go through all variants and both engines in turn. What
    a variant is worth is read from the sweep's `mobilebert` rows of its shape, where there are any. No phone
    is measured. The machine must be idle otherwise.
    """

    pair: MobileBertTransfer = Field(
        MobileBertTransfer(), description="student and teacher whose widths are varied; nothing is trained"
    )
    batch_size: int = Field(1, ge=1, description="examples at once")
    length: int = Field(128, ge=8, le=POSITIONS, description="tokens of every example")
    repeats: int = Field(51, ge=6, description="timed rounds; median and quartiles are shown")
    warm_up: int = Field(20, ge=20, description="rounds before timing")

    @model_validator(mode="after")
    def _can_be_varied(self) -> Self:
        from methods.compact.mobilebert.operations import operations

        try:
            operations(self.pair)
        except ValidationError as error:
            raise ValueError(f"pair: not every variant can be built: {error.errors()[0]['msg']}") from None
        return self

    def cost(self) -> float:
        """Minutes, whatever the task."""
        return 2.0

    def variants(self, run: Run) -> Iterable[Variant]:
        """None: notes hold `operations` by name, and of onnxruntime its version or what is `missing`."""
        from importlib.metadata import version

        from methods import onnx_runtime
        from methods.compact.mobilebert.operations import operations

        works = operations(self.pair)
        # Several variants are the pair itself, which is timed once.
        shapes = {name: json.dumps(work.shape) for name, work in works.items()}
        models = {shapes[name]: self._built(work) for name, work in works.items()}
        missing = onnx_runtime.missing()
        timed = self._timed(models, with_onnx=not missing)
        run.notes["operations"] = {
            name: self._size(works[name], models[shape]) | timed[shape] for name, shape in shapes.items()
        }
        run.notes["onnxruntime"] = {"missing": missing} if missing else {"version": version("onnxruntime")}
        return ()

    def _built(self, work: MobileBertTransfer) -> PreTrainedModel:
        from methods.compact.mobilebert.model import BottleneckBertForSequenceClassification

        return BottleneckBertForSequenceClassification(work.configuration(self.pair.vocabulary)).eval()

    def _size(self, work: MobileBertTransfer, model: PreTrainedModel) -> dict[str, Any]:
        from methods import encoders
        from methods.compact.mobilebert.operations import ratio
        from methods.flops import forward_flops

        return {
            "shape": work.shape,
            "parameters": encoders.parameters(model).model_dump(),
            "flops": forward_flops(model, self.length),
            "ratio": ratio(model.config)._asdict(),
        }

    def _timed(self, models: dict[str, PreTrainedModel], *, with_onnx: bool) -> dict[str, dict[str, Any]]:
        """By shape, the times in each engine and how far their outputs are apart at most."""
        import torch

        from methods.onnx_runtime import compiled
        from methods.timing import interleaved, summary

        ids = torch.randint(self.pair.vocabulary, (self.batch_size, self.length))
        calls: dict[tuple[str, str], Any] = {
            (shape, "torch"): partial(model, input_ids=ids) for shape, model in models.items()
        }
        found: dict[str, dict[str, Any]] = {shape: {} for shape in models}
        with torch.inference_mode():
            for shape, model in models.items() if with_onnx else ():
                calls[shape, "onnxruntime"] = call = compiled(model, ids, threads=torch.get_num_threads())
                apart = torch.from_numpy(call()) - model(input_ids=ids).logits
                found[shape]["difference"] = float(apart.abs().max())
            times = interleaved(calls, warm_up=self.warm_up, repeats=self.repeats, device="cpu")
        for (shape, engine), milliseconds in times.items():
            found[shape][engine] = summary(milliseconds)
        return found
