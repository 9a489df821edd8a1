"""The Ray side of a worker: one actor that carries out node after node, and the mailbox for live metrics."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from benchmark.trial.assignment import Assignment

if TYPE_CHECKING:
    # It brings torch and transformers, which the driver has no use for.
    from methods.fit import Report

Message = tuple[str, int, dict[str, float], float]
"""(fingerprint, step, metrics, unix time)."""


class TrialActor(tune.Trainable):
    """Carries out one assignment per Tune trial.

    Tune hands the same actor the next trial, so the 4 to 5 s of imports are paid once per slot.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Ask for what the assignment says; trials that ask for the same reuse one another's actors."""
        bundle = {"CPU": config["cpu"]} | ({"GPU": config["gpu"]} if config["gpu"] else {})
        return tune.PlacementGroupFactory([bundle])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first assignment."""
        self.settings = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next assignment."""
        self.settings = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Carry out the assignment; a failure is a result, not an exception."""
        from benchmark.trial.execute import execute

        assignment = Assignment.model_validate_json(self.settings["assignment"])
        outcome = execute(assignment, _reporter(self.settings["mailbox"], assignment.fingerprint))
        return outcome.as_result() | {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: the store holds what is finished."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


@ray.remote(num_cpus=0)
class Mailbox:
    """Collects live metrics of all trials until the driver fetches them. Losing it loses no result."""

    def __init__(self) -> None:
        # A driver that fetches nothing must not make this process grow.
        self.messages: deque[Message] = deque(maxlen=100_000)

    def put(self, fingerprint: str, step: int, metrics: dict[str, float]) -> None:
        """Take in the metrics of one step."""
        self.messages.append((fingerprint, step, metrics, time.time()))

    def fetch(self) -> list[Message]:
        """Hand over what has come since the last call."""
        messages = list(self.messages)
        self.messages.clear()
        return messages


def _reporter(name: str, fingerprint: str) -> Report:
    try:
        mailbox = ray.get_actor(name)
    except ValueError:  # The mailbox's node was lost; a curve is not worth a trial.
        return lambda step, metrics: None

    def report(step: int, metrics: dict[str, float]) -> None:
        mailbox.put.remote(fingerprint, step, metrics)

    return report
