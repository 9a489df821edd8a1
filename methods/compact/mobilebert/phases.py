"""In which order a student is taught: auxiliary, joint and progressive knowledge transfer (section 3.6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tasks.errors import BadInput

Strategy = Literal["akt", "jkt", "pkt", "none"]
Lower = Literal["slow", "frozen"]

CURRENT, BELOW = 3.0, 0.3
"""Factors on the rate for the layers that are taught and, unless frozen, for those below (published code)."""
WARM_UP = 0.02
"""Share of the steps on words with rising rate: 10,000 of 500,000 (published code)."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one loss."""

    name: str
    layers: tuple[int, ...]
    """Layers, from 0, whose feature maps and attention are matched."""
    distils: bool
    """Whether words and sentences are learnt too. Then everything trains, else `layers` and those below."""
    steps: int

    def scale(self, layer: int | None, lower: Lower) -> float:
        """Factor on the learning rate of a layer; None stands for everything outside the encoder.

        0 means that it does not train: the layers above, the embeddings, and with `lower` frozen the layers
        below.
        """
        if self.distils:
            return 1.0
        if layer is None or layer > max(self.layers):
            return 0.0
        if layer in self.layers:
            return CURRENT
        return BELOW if lower == "slow" else 0.0

    def rate(self, step: int) -> float:
        """Share of the peak rate at `step` of the phase, from 0.

        While layers alone are taught, b(t) of the published code: a warm-up over a tenth of the phase, then
        a slow decay from 1 to 0.9. While words are learnt, linear warm-up over 2 %, then linear decay.
        """
        from methods.fit import linear

        if self.distils:
            return linear(step, self.steps, WARM_UP)
        done = step / self.steps
        return min(0.9 + 0.1 * math.sqrt(1 - done), 10 * done)


def phases(strategy: Strategy, *, layers: int, steps: int, share: float) -> list[Phase]:
    """Lay out a strategy; all take the same steps in total, so that they can be compared.

    Args:
        strategy: `akt`, all losses at once; `jkt`, all layers together, then words; `pkt`, layer by layer,
            then words; `none`, words only.
        layers: layers of the student.
        steps: steps in total.
        share: of the steps, for the layers; with `pkt` each gets as many as the others, and what is left
            over by the division goes to the words, with `jkt` too.

    Raises:
        BadInput: some layer would be taught for less than two steps, of which the first has a rate of 0.
    """
    everything = tuple(range(layers))
    if strategy == "akt":
        return [Phase("all", everything, distils=True, steps=steps)]
    if strategy == "none":
        return [Phase("words", (), distils=True, steps=steps)]
    each = int(steps * share) // layers
    # The rate of a phase's first step is 0.
    if each < 2:
        raise BadInput(
            f"mobilebert-transfer: {share:g} of {steps} steps is less than two for each of {layers} layers, "
            f"and the first step of a phase has a rate of 0; train for more steps or tokens, or raise "
            f"transfer_share"
        )
    if strategy == "jkt":
        taught = [Phase("layers", everything, distils=False, steps=each * layers)]
    else:
        taught = [Phase(f"layer-{layer + 1}", (layer,), distils=False, steps=each) for layer in everything]
    rest = steps - each * layers
    return [*taught, Phase("words", (), distils=True, steps=rest)] if rest else taught
