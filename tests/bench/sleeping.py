"""A method that sleeps: what is left of a trial's time is the engine's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from methods.method import Method

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run


_loaded: list[PreTrainedModel] = []


class Sleeping(Method, name="sleeping", family="baseline"):
    """Return the pretrained model after a while."""

    seconds: float = Field(0.5, ge=0)
    number: int = Field(0, ge=0, description="tells rows apart")

    def compress(self, run: Run) -> PreTrainedModel:
        """Sleep, report once, and return the model."""
        time.sleep(self.seconds)
        run.report(1, {"slept": self.seconds})
        # Loading a model is the method's time, not the engine's; it is done once a worker.
        if not _loaded:
            _loaded.append(run.pretrained())
        return _loaded[0]
