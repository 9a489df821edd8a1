"""AUBER: an agent that learns, layer by layer, which and how many attention heads to remove."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from methods.method import Method
from methods.pruning.auber.presets import PRESETS, Metric, MiniDev, Name, Norm, Preset, State, Trainer
from methods.pruning.partly_shared_layers import RefusesPartlySharedLayers
from methods.settings import Precision, Rate, Training, require_one_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from methods.run import Run

EPOCHS = 3.0
"""Of the fine-tuning after each layer, where nothing is said (official code)."""
_TYPICAL_LAYERS = 12


class Auber(
    RefusesPartlySharedLayers,
    Method,
    name="auber",
    family="pruning",
    paper="Lee, Lee, Kang, PLOS ONE 16(6) e0253241 2021, arXiv 2009.14409",
    version=1,
    needs=("finetune",),
):
    """Remove heads layer by layer from the input side, each layer's by a DQN agent of its own.

    For each layer: episodes in which heads are removed one by one, rewarded with 100 times the change of the
    metric; a greedy pass of what was learnt; physical pruning of the heads it removes, never the last one;
    fine-tuning, if any was removed. The agent sees the norms of the layer's value weights, read when its turn
    comes.

    Presets, whose every difference is a field of its own:

    - `clean`: rewards on the sweep's reward split, which the start model was not trained on, the same for all
      layers, in the task's primary metric; fine-tuning on all of train′ with the sweep's batch size, warm-up
      and decay.
    - `code`: as the official code. L2 norm; rewards on a quarter of train′, on which the start model was
      trained (so they are largely training scores), drawn anew for every layer, and fine-tuning on the rest;
      rewards in accuracy (CoLA: Matthews); batch size 32, no warm-up, no weight decay. Mishaps of its data
      files (CoLA's first row in both parts, RTE's parts being the same rows) are not reproduced.
    - `paper`: as `code`, with the L1 norm of the paper's text.

    All have the constant value 0.2 of stopping, which before convergence favours stopping early, and the
    greedy policy's heads. `stop_q: learned` and `returns: best-seen` are ablations.

    Notes left in the record: `kept_heads`, `removed_heads`; `layers`, for each what was removed, how many
    `episodes`, `updates`, `distinct_masks` and `evaluations` (with the unpruned layer) it took, the gain on
    the reward examples of the `greedy` mask and of the `best` one seen, and the score on the `reward_split`
    after the layer; `evaluations` in all; `train_choice_gap` before and after, which AUBER claims to
    narrow; `settings`, `reward_metric`, `reward_precision`, `reward_path`. Every layer's model is handed back
    as `layer-0` etc.
    """

    removes_heads: ClassVar[bool] = True
    preset: Name = Field("clean", description="settings of fields that are left out: clean, paper or code")
    state: State = Field("value", description="whose weights' norms the agent sees; constant: none")
    norm: Norm | None = Field(None, description="l1 (clean, paper) or l2 (code) norm of a head's weights")
    mini_dev: MiniDev | None = Field(
        None,
        description="rewards on: selection (clean); train: a quarter of train′, fine-tuning on the rest; "
        "train-redrawn: another quarter for each layer (paper, code)",
    )
    metric: Metric | None = Field(
        None, description="rewards in: the task's primary metric (clean) or the official code's (paper, code)"
    )
    trainer: Trainer | None = Field(
        None, description="batch size, warm-up and decay: the sweep's (clean) or the official (paper, code)"
    )
    stop_q: float | Literal["learned"] = Field(0.2, description="value of stopping, or learned")
    episodes: int = Field(150, ge=50, description="episodes per layer; fewer learn nothing")
    reward_examples: int | None = Field(
        None, ge=1, description="examples that rewards are measured on, at most; all by default"
    )
    precision: Precision = Field("auto", description="of rewards' matrix products; auto: as the sweep trains")
    epochs: float | None = Field(
        None, gt=0, description="passes of fine-tuning after each layer; 3 unless steps are given"
    )
    steps: int | None = Field(None, ge=1, description="optimiser steps after each layer, instead of epochs")
    learning_rate: Rate = Field(
        2e-5,
        description="peak rate after each layer, a number or by task; 2e-5 is the official code's default, "
        "its MRPC demo has 2e-6",
    )
    returns: Literal["greedy", "best-seen"] = Field(
        "greedy", description="heads removed: the learnt policy's, or the best mask seen (ablation)"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        require_one_length(self.epochs, self.steps)
        return self

    def resolved(self) -> Preset:
        """The preset with the fields that were given."""
        preset = PRESETS[self.preset]
        given = {name: getattr(self, name) for name in vars(preset)}
        return replace(preset, **{name: value for name, value in given.items() if value is not None})

    def recovery(self, training: Training) -> Training:
        """Settings of the fine-tuning after a layer, from the sweep's."""
        official = self.resolved().trainer == "official"
        return training.override(
            epochs=self.epochs or EPOCHS,
            learning_rate=self.learning_rate,
            **({"batch_size": 32, "warmup": 0.0, "weight_decay": 0.0} if official else {}),
        )

    def cost(self) -> float:
        """Rewards and fine-tuning of each layer, against the usual three epochs.

        150 episodes meet about 200 masks; each takes a third of a forward pass over an eighth as many
        examples as train′ has: about as much as three epochs of training.
        """
        tuning = 0.3 if self.steps else (self.epochs or EPOCHS) / 3
        return _TYPICAL_LAYERS * (self.episodes / 150 + tuning)

    def compress(self, run: Run) -> PreTrainedModel:
        """Return the start model with heads removed and fine-tuned after every layer.

        Raises:
            BadInput: no examples to measure rewards on, or an encoder without known attention heads.
        """
        from methods.pruning.auber.search import Search

        return Search(self, run).carry_out()
