"""The state a killed trial resumes from: finished layers, and the episodes of the current one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from methods import checkpoint
from tasks.cache import atomic_file


class Progress:
    """Files in a folder that outlives the process, each replaced whole; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def layers(self) -> dict[str, Any] | None:
        """What `end_layer` was last given, or None."""
        return None if (file := self._file("layers.json")) is None else json.loads(file.read_text())

    def model(self, row: int) -> PreTrainedModel:
        """The model as it was after the layer `row`."""
        assert self._folder is not None
        return checkpoint.load(self._folder / f"layer-{row}")

    def end_layer(self, row: int, model: PreTrainedModel, state: dict[str, Any]) -> None:
        """Keep the model after the layer `row` and the JSON-able `state` of what was done so far."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)  # Another driver's attempt may have finished first.
        unfinished, folder = self._folder / "unfinished", self._folder / f"layer-{row}"
        for left_by_a_kill in (unfinished, folder):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        os.replace(checkpoint.save(model, unfinished), folder)  # noqa: PTH105 - whole or not at all
        with atomic_file(self._folder / "layers.json") as temporary:
            temporary.write_text(json.dumps(state))

    def episodes(self, row: int) -> dict[str, Any] | None:
        """What `keep_episodes` was last given for the layer `row`, or None."""
        if (file := self._file("episodes.pt")) is None:
            return None
        state: dict[str, Any] = torch.load(file, weights_only=True)
        return state if state["row"] == row else None

    def keep_episodes(self, row: int, state: dict[str, Any]) -> None:
        """Keep the state of the episodes in the layer `row`: tensors and plain data."""
        if self._folder is None:
            return
        with atomic_file(self._folder / "episodes.pt") as temporary:
            torch.save({"row": row, **state}, temporary)

    def _file(self, name: str) -> Path | None:
        if self._folder is None or not (self._folder / name).exists():
            return None
        return self._folder / name
