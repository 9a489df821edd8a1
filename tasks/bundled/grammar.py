"""Fills sentence patterns with words: what the five generators share."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SPLITS = {"train": 600, "validation": 300}
"""Examples of each split."""


class Word(tuple[str, ...]):
    """The aligned forms of one word, such as `("poodle", "dog")`; a plain slot takes the first."""

    def __format__(self, spec: str) -> str:
        return self[0]


@dataclass(frozen=True)
class Frame:
    """A sentence, and patterns of texts for which it makes the true or the false label right.

    Both speak of the same things, so that single words tell little about the label.
    """

    given: str
    """The first text's pattern; empty where the task has one text."""
    true: tuple[str, ...]
    false: tuple[str, ...]


def frames(text: str) -> tuple[Frame, ...]:
    """Read frames divided by empty lines: the sentence, then `+` before true, `-` before false patterns."""
    blocks = [[line.strip() for line in block.splitlines()] for block in text.strip().split("\n\n")]
    return tuple(
        Frame(
            given=next((line for line in block if line[0] not in "+-"), ""),
            true=tuple(line[2:] for line in block if line[0] == "+"),
            false=tuple(line[2:] for line in block if line[0] == "-"),
        )
        for block in blocks
    )


@dataclass(frozen=True)
class Side:
    """Words and frames of one split; no pattern of one side stands in the other."""

    words: dict[str, str]
    """Entries by slot name, divided by commas; aligned forms of one entry are divided by `>`."""
    frames: tuple[Frame, ...]

    def true(self) -> list[tuple[str, str]]:
        """Return every (given, text) pair of patterns that has the true label."""
        return [(frame.given, text) for frame in self.frames for text in frame.true]

    def false(self) -> list[tuple[str, str]]:
        """Return every pair of patterns that a frame says is false: the near misses."""
        return [(frame.given, text) for frame in self.frames for text in frame.false]

    def unrelated(self) -> list[tuple[str, str]]:
        """Return every pair of a frame's sentence with a text of another frame that shares a slot with it."""
        return [
            (frame.given, text)
            for frame in self.frames
            for other in self.frames
            if other is not frame
            for text in other.true
            if _slots(frame.given) & _slots(text)
        ]

    def fill(self, template: tuple[str, str], rng: random.Random) -> tuple[str, str]:
        """Fill both patterns with the same words; `{person}` and `{person2}` are never the same person."""
        given, text = template
        chosen: dict[str, Word] = {}
        taken: set[Word] = set()
        for slot in sorted(_slots(given) | _slots(text)):
            free = [word for word in self._entries(slot.rstrip(string.digits)) if word not in taken]
            chosen[slot] = free[int(rng.random() * len(free))]
            taken.add(chosen[slot])
        return _sentence(given.format(**chosen)), _sentence(text.format(**chosen))

    def _entries(self, kind: str) -> list[Word]:
        return [Word(form.strip() for form in entry.split(">")) for entry in self.words[kind].split(",")]


@dataclass(frozen=True)
class Grammar:
    """One task: its columns and labels as in GLUE, and the two sides."""

    columns: tuple[str, ...]
    """The text columns in GLUE's order."""
    labels: tuple[str, str]
    true: str
    """The label of a frame's true texts."""
    share: float
    """The share of examples that have that label."""
    train: Side
    validation: Side
    unrelated: float = 0.0
    """The share of the other examples whose texts come from two frames; the rest are near misses."""
    given: str | None = None
    """The column of the frame's sentence; the other column holds the text said of it."""
    cased: bool = True
    """Whether sentences begin with a capital letter."""

    def rows(self, split: str, seed: int) -> list[dict[str, Any]]:
        """Draw the rows of `split`, shuffled, each pair of texts once.

        Only `random.random` is drawn from, whose sequence Python promises to keep.
        """
        rng = random.Random(f"{seed}/{'/'.join(self.columns)}/{self.true}/{split}")
        side, size = getattr(self, split), SPLITS[split]
        true = round(size * self.share)
        unrelated = round((size - true) * self.unrelated)
        rows = [self._row(pair, True) for pair in _draw(side, side.true(), true, rng)]
        rows += [self._row(pair, False) for pair in _draw(side, side.unrelated(), unrelated, rng)]
        rows += [self._row(pair, False) for pair in _draw(side, side.false(), size - true - unrelated, rng)]
        rows.sort(key=lambda _: rng.random())
        return [{**row, "idx": position} for position, row in enumerate(rows)]

    def _row(self, pair: tuple[str, str], truth: bool) -> dict[str, Any]:
        given, text = pair if self.cased else (pair[0].lower(), pair[1].lower())
        texts = {column: given if column == self.given else text for column in self.columns}
        label = self.true if truth else next(name for name in self.labels if name != self.true)
        return {**texts, "label": self.labels.index(label)}


def _slots(pattern: str) -> set[str]:
    """Return the names of the slots of `pattern`, without the number of the form."""
    return {name.partition("[")[0] for _, name, _, _ in string.Formatter().parse(pattern) if name}


def _draw(
    side: Side, templates: list[tuple[str, str]], count: int, rng: random.Random
) -> Iterator[tuple[str, str]]:
    """Yield `count` different pairs of texts, as evenly over the templates as their slots allow."""
    templates = sorted(templates, key=lambda _: rng.random())
    seen: set[tuple[str, str]] = set()
    attempts = 0
    while len(seen) < count:
        pair = side.fill(templates[attempts % len(templates)], rng)
        attempts += 1
        if pair not in seen:
            seen.add(pair)
            yield pair
        elif attempts > 20 * count:
            raise ValueError(f"the templates give no more than {len(seen)} different examples")


def _sentence(text: str) -> str:
    """Mend the article before a vowel and begin with a capital."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return text[:1].upper() + text[1:]
