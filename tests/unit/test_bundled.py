"""The bundled sample reads as GLUE does, is what the generator makes, and word counts do not solve it."""

from __future__ import annotations

import re

import datasets
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks.bundled.generate import DATA, GRAMMARS, SEED, table, write
from tasks.bundled.grammar import SPLITS, Side, frames

COLUMNS = {
    "rte": ["sentence1", "sentence2"],
    "mrpc": ["sentence1", "sentence2"],
    "sst2": ["sentence"],
    "qnli": ["question", "sentence"],
    "cola": ["sentence"],
}
LABELS = {
    "rte": ["entailment", "not_entailment"],
    "mrpc": ["not_equivalent", "equivalent"],
    "sst2": ["negative", "positive"],
    "qnli": ["entailment", "not_entailment"],
    "cola": ["unacceptable", "acceptable"],
}
every_task = pytest.mark.parametrize("task", list(GRAMMARS))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {task: datasets.load_dataset(str(DATA), task, cache_dir=str(cache)) for task in GRAMMARS}


def normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def texts(split: datasets.Dataset, task: str) -> list[tuple[str, ...]]:
    return list(zip(*(split[column] for column in COLUMNS[task]), strict=True))


def patterns(side: Side) -> set[str]:
    return {
        pattern for frame in side.frames for pattern in (frame.given, *frame.true, *frame.false) if pattern
    }


@every_task
def test_reads_as_the_hubs_glue_does(bundled, task):
    data = bundled[task]
    assert {split: len(data[split]) for split in data} == SPLITS
    for split in data.values():
        assert split.column_names == [*COLUMNS[task], "label", "idx"]
        assert split.features["label"].names == LABELS[task]
        assert split.features["idx"].dtype == "int32"
        assert split["idx"][:] == list(range(len(split)))


@every_task
def test_no_sentence_stands_in_both_splits(bundled, task):
    sentences = {
        name: {normalised(text) for row in texts(split, task) for text in row}
        for name, split in bundled[task].items()
    }
    assert not sentences["train"] & sentences["validation"]


@every_task
def test_no_example_stands_twice_in_a_split(bundled, task):
    for split in bundled[task].values():
        rows = [tuple(map(normalised, row)) for row in texts(split, task)]
        assert len(set(rows)) == len(rows)


@every_task
def test_the_sides_share_no_pattern_and_have_thirty_or_more(task):
    train, validation = patterns(GRAMMARS[task].train), patterns(GRAMMARS[task].validation)
    assert not train & validation
    assert min(len(train), len(validation)) >= 30


@every_task
def test_the_sides_fill_a_slot_with_different_words(task):
    def words(side: Side) -> set[tuple[str, str]]:
        return {(slot, word.strip()) for slot, entries in side.words.items() for word in entries.split(",")}

    assert not words(GRAMMARS[task].train) & words(GRAMMARS[task].validation)


@every_task
@pytest.mark.parametrize("split", list(SPLITS))
def test_the_generator_makes_the_committed_rows(bundled, task, split):
    assert table(task, split).to_list() == bundled[task][split].to_list()


@every_task
def test_the_seed_alone_decides(task):
    grammar = GRAMMARS[task]
    assert grammar.rows("validation", SEED) == grammar.rows("validation", SEED)
    assert grammar.rows("validation", SEED) != grammar.rows("validation", SEED + 1)


def test_writing_again_gives_the_same_tables_and_card(tmp_path, bundled):
    write(tmp_path / "data")
    again = datasets.load_dataset(str(tmp_path / "data"), "qnli", cache_dir=str(tmp_path / "cache"))
    assert again["train"].to_list() == bundled["qnli"]["train"].to_list()
    assert (tmp_path / "data" / "README.md").read_text() == (DATA / "README.md").read_text()


def test_the_sample_stays_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 400_000


@every_task
def test_examples_are_short_and_labels_are_near_glues_shares(bundled, task):
    for split in bundled[task].values():
        words = [len(" ".join(row).split()) for row in texts(split, task)]
        assert np.mean(words) < 18
        assert max(words) <= 28
        share = np.mean(split["label"][:])
        assert 0.6 <= share <= 0.7 if task in ("mrpc", "cola") else 0.48 <= share <= 0.55


@every_task
def test_counting_words_hardly_beats_the_majority(bundled, task):
    train, validation = bundled[task]["train"], bundled[task]["validation"]
    counts = CountVectorizer()
    known = counts.fit_transform(map(" ".join, texts(train, task)))
    model = LogisticRegression(max_iter=1000).fit(known, train["label"][:])
    accuracy = model.score(counts.transform(map(" ".join, texts(validation, task))), validation["label"][:])
    majority = np.bincount(validation["label"][:]).max() / len(validation)
    assert accuracy < majority + 0.1


def test_frames_are_read_with_and_without_a_first_sentence():
    pair, single = frames("""
        {a} fell.
        + {a} is down.
        - {a} rose.

        + {a} sleeps.
        - Sleeps {a}.
    """)
    assert (pair.given, pair.true, pair.false) == ("{a} fell.", ("{a} is down.",), ("{a} rose.",))
    assert (single.given, single.true, single.false) == ("", ("{a} sleeps.",), ("Sleeps {a}.",))


def test_unrelated_texts_come_from_another_frame_of_the_same_people():
    side = Side(
        words={"a": "Ann, Bob", "b": "hat"},
        frames=frames("""
            {a} fell.
            + {a} is down.
            - {a} rose.

            {a} has a {b}.
            + {a} owns a {b}.
            - {a} wants a {b}.

            A {b} is there.
            + There is a {b}.
            - There is no {b}.
        """),
    )
    assert set(side.unrelated()) == {
        ("{a} fell.", "{a} owns a {b}."),
        ("{a} has a {b}.", "{a} is down."),
        ("{a} has a {b}.", "There is a {b}."),
        ("A {b} is there.", "{a} owns a {b}."),
    }
