"""AUBER's outer loop: each layer's episodes, its greedy pass, its pruning and its fine-tuning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel

from methods import encoders
from methods.fit import REPORT_SECONDS
from methods.gap import train_choice_gap
from methods.pruning import masked
from methods.pruning.auber.agent import Agent, epsilon
from methods.pruning.auber.environment import Environment, Heads, play
from methods.pruning.auber.progress import Progress
from methods.pruning.auber.rewards import Rewards, official_metric
from methods.pruning.auber.state import initial_state
from methods.pruning.surgery import prune_heads
from methods.run import Run
from reports.record import Cost
from tasks.errors import BadInput
from tasks.examples import Examples

if TYPE_CHECKING:
    from methods.pruning.auber.method import Auber

SAVE_SECONDS = 20.0
"""Seconds between two copies of the state of the episodes: as much is lost by a kill."""

MINI_DEV_SHARE = 0.25
"""Of the train split, where rewards are measured on it (official code)."""


class Search:
    """Prunes and fine-tunes the start model layer by layer, from the input side."""

    def __init__(self, method: Auber, run: Run) -> None:
        self.method, self.run = method, run
        self.preset = method.resolved()
        precision = run.training.precision if method.precision == "auto" else method.precision
        self.bf16 = precision == "bf16"
        self.metric = official_metric(run.task) if self.preset.metric == "official" else run.task.primary
        self.progress = Progress(run.resume)
        self.layers: list[dict[str, Any]] = []
        """Notes of each layer that is done."""
        self.told: list[tuple[int, dict[str, float]]] = []
        """What was reported live: MLflow shows one attempt, so a later one reports it again."""
        self._report = run.report
        run.report = self._tell

    def carry_out(self) -> PreTrainedModel:
        """Return the pruned model; what was found goes into the run's notes.

        Raises:
            BadInput: no reward examples, or an encoder without known attention heads.
        """
        run = self.run
        model = run.start()
        depth, had = len(encoders.layers(model)), encoders.kept_heads(model)
        path = "whole" if masked.why_not_by_parts(model) else "shared"
        saved = self.progress.layers()
        if saved is None:
            before = train_choice_gap(run, model)
        else:
            before, self.layers, run.fits = saved["before"], saved["layers"], saved["fits"]
            run.cost = Cost(**saved["cost"])
            self._tell_again(saved)
            for row in range(len(self.layers)):
                model = self.progress.model(row).to(run.device)
                run.stage(f"layer-{row}", model)
        for row in range(len(self.layers), depth):
            self.layers.append(self._layer(row, model))
            run.stage(f"layer-{row}", model)
            state = {
                "before": before,
                "layers": self.layers,
                "fits": run.fits,
                "cost": run.cost.model_dump(),
                "told": self.told,
            }
            self.progress.end_layer(row, model, state)
        run.notes |= {
            "kept_heads": encoders.kept_heads(model),
            "removed_heads": encoders.removed_heads(model, had),
            "layers": self.layers,
            "evaluations": sum(layer["evaluations"] for layer in self.layers),
            "reward_metric": self.metric,
            "reward_precision": "bf16" if self.bf16 else "fp32",
            "reward_path": path,
            "reward_path_reason": masked.why_not_by_parts(model),
            "settings": vars(self.preset),
            "train_choice_gap": {"before": before, "after": train_choice_gap(run, model)},
        }
        return model

    def _layer(self, row: int, model: PreTrainedModel) -> dict[str, Any]:
        """Prune and fine-tune one layer of `model` in place; return what is to be noted."""
        run = self.run
        layer = encoders.layers(model)[row]
        mini_train, mini_dev = self._split(row)
        state = initial_state(layer, self.method.state, self.preset.norm)
        notes: dict[str, Any] = {"layer": row, "reward_examples": len(mini_dev)}
        removed: list[int] = []
        if len(layer.heads) > 1:
            rewards = Rewards(model, row, mini_dev, self.metric, bf16=self.bf16)
            environment = Environment(state, rewards)
            agent = self._learn(row, environment, rewards)
            greedy = environment.rollout(agent.greedy)[-1].removed
            gain = environment.gain(greedy)
            best = environment.best()
            removed = self._numbers(layer, best if self.method.returns == "best-seen" else greedy)
            run.cost += rewards.cost
            notes |= {
                "episodes": self.method.episodes,
                "updates": agent.updates,
                "actions": agent.actions,
                "evaluations": len(environment.metrics),
                "distinct_masks": len(environment.metrics) - 1,
                "unpruned": environment.metric(Heads()),
                "greedy": {"removed": self._numbers(layer, greedy), "gain": gain},
                "best": {"removed": self._numbers(layer, best), "gain": environment.gain(best)},
            }
        else:
            # A layer with one head keeps it: there is nothing to learn.
            notes |= {"episodes": 0, "updates": 0, "actions": 0, "evaluations": 0, "distinct_masks": 0}
        if removed:
            prune_heads(model, {layer.positions[0]: removed})
            method = self.method
            run.fit(model, steps=method.steps, training=method.recovery(run.training), examples=mini_train)
        return notes | {
            "removed": removed,
            "pruned": len(removed),
            "state": [round(entry, 6) for entry in state.tolist()],
            "reward_split": run.score(model, run.reward),
        }

    def _learn(self, row: int, environment: Environment, rewards: Rewards) -> Agent:
        """Play all episodes of a layer, from where a killed attempt left off."""
        stop = None if self.method.stop_q == "learned" else float(self.method.stop_q)
        agent = Agent(len(environment.initial), stop=stop, seed=[self.run.seeds.dropout, row])
        played = 0
        if saved := self.progress.episodes(row):
            agent.load_state_dict(saved["agent"])
            environment.load_state_dict(saved["environment"])
            rewards.cost = Cost(**saved["cost"])
            played = saved["played"]
            self._tell_again(saved)
        kept = told = time.monotonic()
        episodes = self.method.episodes
        for episode in range(played, episodes):
            steps = play(agent, environment, episode)
            now, last = time.monotonic(), episode == episodes - 1
            if now - told >= REPORT_SECONDS or last:
                metrics = {
                    "layer": float(row),
                    "gain": environment.gain(steps[-1].removed),
                    "best_gain": environment.gain(environment.best()),
                    "epsilon": epsilon(agent.actions),
                }
                self.run.report(row * episodes + episode + 1, metrics)
                told = now
            if now - kept >= SAVE_SECONDS or last:
                self._keep(row, episode + 1, agent, environment, rewards)
                kept = now
        return agent

    def _keep(self, row: int, played: int, agent: Agent, environment: Environment, rewards: Rewards) -> None:
        state = {
            "played": played,
            "agent": agent.state_dict(),
            "environment": environment.state_dict(),
            "cost": rewards.cost.model_dump(),
            "told": self.told,
        }
        self.progress.keep_episodes(row, state)

    def _tell(self, step: int, metrics: dict[str, float]) -> None:
        self.told.append((step, metrics))
        self._report(step, metrics)

    def _tell_again(self, saved: dict[str, Any]) -> None:
        """Report what a killed attempt had reported and this one has not; older copies did not keep it."""
        for step, metrics in saved.get("told", [])[len(self.told) :]:
            self._tell(step, metrics)

    def _split(self, row: int) -> tuple[Examples, Examples]:
        """What the layer is fine-tuned on and what its rewards are measured on."""
        run = self.run
        if self.preset.mini_dev == "selection":
            train, dev = run.train, run.reward
        else:
            axes = [run.seeds.split, row] if self.preset.mini_dev == "train-redrawn" else [run.seeds.split]
            chosen = np.random.default_rng(axes).random(len(run.train)) < MINI_DEV_SHARE
            train, dev = (run.train.subset(np.flatnonzero(rows)) for rows in (~chosen, chosen))
        dev = dev.sample(self.method.reward_examples or len(dev), run.seeds.order)
        if not (len(train) and len(dev)):
            raise BadInput(
                f"auber: {len(train)} examples to fine-tune on and {len(dev)} to measure rewards on; "
                "both need one at least: raise `limit` or `selection` in the sweep"
            )
        return train, dev

    @staticmethod
    def _numbers(layer: encoders.Layer, heads: Heads) -> list[int]:
        """Numbers before any pruning of heads given by their places in the layer."""
        return sorted(layer.heads[place] for place in heads)
