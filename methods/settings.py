"""Validated, frozen settings: the base of methods, of training settings and of the sweep."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    RootModel,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def _from_yaml(value: Any) -> Any:
    """Read `2e-5`, a string to PyYAML, as the number that was meant, and lists as tuples."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, list):
        return tuple(_from_yaml(item) for item in value)
    if isinstance(value, dict):
        return {key: _from_yaml(item) for key, item in value.items()}
    return value


class Settings(BaseModel):
    """Fields typed and bounded; unknown fields, booleans for numbers and numbers for strings are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        return handler(_from_yaml(data) if isinstance(data, dict) else data)


def nested_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the settings with fields of their own that a field takes, the first where there are several."""
    kinds = (field.annotation, *get_args(field.annotation))
    own = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return next((kind for kind in own if not issubclass(kind, RootModel)), None)


class ByTask(RootModel[dict[str, Annotated[float, Field(gt=0)]]]):
    """A number for each task, by the task's name; `Work.for_task` takes the one of a task."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


def number_or_by_task(value: Any) -> str:
    """Tell the two forms apart before they are checked, so that an error speaks of the one that was meant."""
    return "by task" if isinstance(value, dict | ByTask) else "number"


Rate = Annotated[
    Annotated[float, Field(gt=0), Tag("number")] | Annotated[ByTask, Tag("by task")],
    Discriminator(number_or_by_task),
]
"""A learning rate of a method: a number, or one by task as in `{mrpc: 1e-4, rte: 5e-5}`."""

Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Training(Settings):
    """How a model is trained; the sweep's `train:` section."""

    epochs: float = Field(3, gt=0, description="passes over the train split")
    batch_size: int = Field(32, ge=1, description="examples per step")
    learning_rate: float = Field(2e-5, gt=0, description="peak rate of AdamW")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="share of the steps with rising rate; then linear decay"
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay; biases and norms are exempt")
    max_length: int = Field(128, ge=8, description="tokens after which texts are cut")
    precision: Precision = Field(
        "auto", description="auto: bf16 on cuda and where the processor has it, else fp32"
    )
    device: Device = Field("auto", description="auto: cuda when a trial has a GPU share, else mps or cpu")

    def override(self, **changes: Any) -> Training:
        """Return these settings with every change that is not None applied."""
        return self.model_copy(update={key: value for key, value in changes.items() if value is not None})


class TrainingOverrides(Settings):
    """Optional overrides of the sweep's `train:` settings."""

    epochs: float | None = Field(None, gt=0, description="passes; by default train.epochs")
    learning_rate: Rate | None = Field(
        None, description="peak rate, a number or by task; by default train.learning_rate"
    )
    batch_size: int | None = Field(None, ge=1, description="examples per step; by default train.batch_size")

    def on(self, training: Training) -> Training:
        """Return the sweep's settings with the fields that are given."""
        return training.override(
            epochs=self.epochs, learning_rate=self.learning_rate, batch_size=self.batch_size
        )


def require_one_length(epochs: float | None, steps: int | None) -> None:
    """Make sure that the length of a training is not given twice.

    Raises:
        ValueError: it is, for pydantic to say which method's.
    """
    if epochs and steps is not None:
        raise ValueError("give epochs or steps, not both")
