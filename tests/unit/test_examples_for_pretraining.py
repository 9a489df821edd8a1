"""Segments, masks and the stream: what a pre-training batch is made of."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_corpus import access, tokens

from methods.pretraining.corpus import stream as work_stream
from methods.pretraining.settings import TextTraining
from tasks.corpus import segments
from tasks.corpus.access import CorpusAccess
from tasks.corpus.declaration import Corpus
from tasks.corpus.masking import choose, corrupt, draw_lengths
from tasks.corpus.segments import NO_LABEL, Spans, spans
from tasks.corpus.stream import _SEGMENTS, Position, Stream
from tasks.errors import BadInput

LENGTH = 32


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tokens(access(tmp_path_factory.mktemp("corpus"), documents=400))


def cut(text, pairing, seed=0, documents=None):
    chosen = text.training if documents is None else documents
    return spans(text, chosen, length=LENGTH, pairing=pairing, rng=np.random.default_rng(seed))


def document_of(text, place):
    return np.searchsorted(text.sentences[text.documents], place, side="right") - 1


def stream(text, pairing="sop", batch_size=16, **changes):
    settings = {"length": LENGTH, "max_predictions": 20, "seed": 3} | changes
    return Stream(text, text.training, batch_size=batch_size, pairing=pairing, **settings)


def test_a_negative_is_the_pair_swapped_and_half_of_the_pairs_are(text):
    """Order tells the label, the parts are the same neighbours of one document."""
    found = [cut(text, "sop", seed) for seed in range(20)]
    first, second, labels = (
        np.concatenate([getattr(f, n) for f in found]) for n in ("first", "second", "labels")
    )
    paired = labels != NO_LABEL
    assert paired.mean() > 0.8
    assert abs(labels[paired].mean() - 0.5) < 0.02
    earlier = first[paired, 0] < second[paired, 0]
    assert np.array_equal(earlier, labels[paired] == 0)
    assert (document_of(text, first[paired, 0]) == document_of(text, second[paired, 0])).all()
    # Nothing of a single segment is left over.
    assert (second[~paired] == 0).all()


class OtherSide:
    """The chance of another generator with every coin on its other side."""

    def __init__(self, rng):
        self.rng = rng

    def random(self):
        return 1 - self.rng.random()

    def __getattr__(self, name):
        return getattr(self.rng, name)


def segments_of(batch, backend):
    """(label, segments) of each example: its token ids as before masking, read off the finished batch."""
    rows = zip(batch.unmasked()["input_ids"], batch.inputs["attention_mask"], batch.pairs, strict=True)
    for ids, real, label in rows:
        words = ids[1 : int(real.sum())].tolist()
        ends = [place for place, token in enumerate(words) if token == backend.sep_token_id]
        begins = [0, *(end + 1 for end in ends[:-1])]
        yield int(label), [words[begin:end] for begin, end in zip(begins, ends, strict=True)]


def test_a_negative_is_b_a_to_the_token_where_the_positive_is_a_b(text, monkeypatch):
    """The same corpus twice, with the coin that swaps on either side: compared are the ids of the batches."""
    # The coin that shortens a target would be turned too.
    monkeypatch.setattr("tasks.corpus.segments.SHORT", 0.0)
    backend, draw = text.tokenizer.backend, Stream._rng
    here = [each for batch in stream(text).once() for each in segments_of(batch, backend)]

    def turned(self, what, *place):
        rng = draw(self, what, *place)
        return OtherSide(rng) if what == _SEGMENTS else rng

    monkeypatch.setattr(Stream, "_rng", turned)
    there = [each for batch in stream(text).once() for each in segments_of(batch, backend)]
    read = " ".join(map(str, text.ids.tolist()))
    swapped = uncut = 0
    for (label, ours), (other, theirs) in zip(here, there, strict=True):
        if label == NO_LABEL:
            assert (other, theirs) == (label, ours) and len(ours) == 1
            continue
        assert {label, other} == {0, 1}
        assert len(ours) == 2 and ours == theirs[::-1]
        assert sorted(ours[0] + ours[1]) == sorted(theirs[0] + theirs[1])
        first, second = ours if label == 0 else theirs
        swapped += label
        if len(first) + len(second) < LENGTH - 3:
            uncut += 1
            assert " ".join(map(str, first + second)) in read, "B follows A in the corpus"
    assert swapped > 200 and uncut > 50


def test_a_chunks_two_parts_are_neighbours_whatever_is_swapped(text):
    """Only tokens cut off for length stand between."""
    found = cut(text, "sop")
    paired = found.labels != NO_LABEL
    swapped = (found.labels == 1)[paired]
    left = np.where(swapped[:, None], found.second[paired], found.first[paired])
    right = np.where(swapped[:, None], found.first[paired], found.second[paired])
    assert (left[:, 1] <= right[:, 0]).all()
    uncut = (left[:, 1] - left[:, 0]) + (right[:, 1] - right[:, 0]) < LENGTH - 3
    assert uncut.any()
    assert (left[uncut, 1] == right[uncut, 0]).all()


def test_every_example_fits_and_few_aim_short(text):
    for pairing in ("sop", "sop-official", "nsp", "none"):
        found = cut(text, pairing)
        sizes = (np.diff(found.first, axis=1) + np.diff(found.second, axis=1))[:, 0]
        assert sizes.min() >= 1
        assert sizes.max() <= LENGTH - (2 if pairing == "none" else 3)
        assert (found.first[:, 1] > found.first[:, 0]).all()


def test_examples_are_short_one_time_in_ten(text, monkeypatch):
    """Of chunks that a document has more text for: its last one is short for lack of it."""

    def sizes(share):
        monkeypatch.setattr(segments, "SHORT", share)
        found = [cut(text, "sop", seed, documents=text.training[:100]) for seed in range(10)]
        ends = text.sentences[text.documents[1:]]
        rows = np.concatenate([np.hstack([each.first, each.second]) for each in found])
        whole = ~np.isin(rows.max(axis=1), ends)
        return (np.diff(rows[:, :2]) + np.diff(rows[:, 2:]))[whole, 0]

    longest = LENGTH - 3
    # Without short targets a chunk ends with the sentence that reaches the longest length.
    assert (sizes(0.0) == longest).all()
    # A little more than one in ten: short chunks are rarely a document's last.
    assert 0.07 < (sizes(0.1) < longest).mean() < 0.15
    assert (sizes(1.0) < longest).mean() > 0.6


def test_next_sentences_are_of_another_document_half_of_the_time(text):
    found = cut(text, "nsp")
    paired = found.labels != NO_LABEL
    same = document_of(text, found.first[:, 0]) == document_of(text, found.second[:, 0])
    assert np.array_equal(same[paired], found.labels[paired] == 0)
    assert abs(found.labels[paired].mean() - 0.5) < 0.06
    next_to = found.labels == 0
    assert (found.first[next_to, 0] < found.second[next_to, 0]).all()


def test_the_official_code_calls_pairs_of_two_documents_swapped(text):
    found = cut(text, "sop-official")
    crossing = document_of(text, found.first[:, 0]) != document_of(text, found.second[:, 0])
    assert crossing.any() and (found.labels[crossing] == 1).all()
    assert (found.labels != NO_LABEL).all()


def test_without_an_objective_there_is_one_segment(text):
    found = cut(text, "none")
    assert (found.labels == NO_LABEL).all() and (found.second == 0).all()
    # Every token is in at most one example.
    spans_in_order = found.first[np.argsort(found.first[:, 0])]
    assert (spans_in_order[1:, 0] >= spans_in_order[:-1, 1]).all()


def test_a_single_document_takes_random_segments_of_those_it_is_given(text):
    own, others = text.training[:1], text.training[[3, 5]]
    rng = np.random.default_rng(0)
    found = spans(text, own, length=LENGTH, pairing="nsp", rng=rng, others=others)
    came_from = set(document_of(text, found.second[found.labels == 1, 0]).tolist())
    assert came_from and came_from <= set(others.tolist())


@pytest.mark.parametrize("pairing", ["nsp", "sop-official"])
def test_a_training_stream_never_takes_segments_of_documents_it_was_not_given(text, pairing, monkeypatch):
    """Not even where a block is one document."""
    monkeypatch.setattr("tasks.corpus.stream._BLOCK", 1)
    monkeypatch.setattr("tasks.corpus.stream._BATCHES", 1)
    few = text.training[:3]
    parts = Stream(text, few, LENGTH, 1, pairing, 20, 3)
    assert min(map(len, parts._blocks)) == 1
    seen = [parts._examples(epoch, block) for epoch in range(20) for block in range(len(parts._blocks))]
    places = np.concatenate([each.second[each.labels == 1, 0] for each in seen])
    assert len(places) > 10 and set(document_of(text, places).tolist()) <= set(few.tolist())
    with pytest.raises(BadInput, match="segments of other documents, and only one may be trained on"):
        next(iter(Stream(text, few[:1], LENGTH, 1, pairing, 20, 3)))
    held = Stream(text, text.held_out[:1], LENGTH, 1, pairing, 20, 3, others=np.arange(len(text)))
    assert len(next(held.once()).pairs)


def test_lengths_of_spans_are_drawn_in_proportion_to_one_over_n():
    drawn = draw_lengths(np.full(200_000, 50), np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4)[1:] / len(drawn)
    np.testing.assert_allclose(shares, [6 / 11, 3 / 11, 2 / 11], atol=0.005)
    near_the_end = draw_lengths(np.full(100_000, 2), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(near_the_end)[1:] / 100_000, [2 / 3, 1 / 3], atol=0.005)
    assert (draw_lengths(np.ones(100, dtype=np.int64), np.random.default_rng(0)) == 1).all()


@pytest.mark.parametrize("budget", [0, 1, 3, 20])
def test_whole_words_are_chosen_within_the_budget(budget):
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = rng.integers(1, 4, size=12)
        begins = 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        chosen = choose(begins, begins + sizes, budget, rng)
        assert len(chosen) == len(set(chosen)) <= budget
        for begin, size in zip(begins, sizes, strict=True):
            assert len({*range(begin, begin + size)} & {*chosen}) in (0, size)
        if budget >= 3:
            assert chosen


def test_what_is_chosen_are_spans_of_the_lengths_drawn():
    """Words of one token, so many that spans seldom touch: a run of chosen places is a span."""
    rng, begins = np.random.default_rng(0), np.arange(2000)
    counts = np.zeros(101, dtype=np.int64)
    for _ in range(200):
        chosen = np.array(choose(begins, begins + 1, 100, rng))
        bounds = np.flatnonzero(np.diff(chosen, prepend=-2, append=2001) != 1)
        counts += np.bincount(np.diff(bounds), minlength=len(counts))
    np.testing.assert_allclose((counts / counts.sum())[1:4], [0.54, 0.27, 0.18], atol=0.03)


def test_eight_of_ten_are_masked_one_is_kept_one_is_random():
    targets = np.full(100_000, 7)
    seen = corrupt(targets, 4, np.arange(5, 1005), np.random.default_rng(0))
    assert abs((seen == 4).mean() - 0.8) < 0.005
    assert abs((seen == 7).mean() - 0.1) < 0.005
    others = seen[(seen != 4) & (seen != 7)]
    assert abs(len(others) / len(seen) - 0.1) < 0.005
    assert others.min() >= 5 and len(np.unique(others)) > 900


def test_batches_are_framed_padded_and_never_mask_what_is_special(text):
    backend = text.tokenizer.backend
    pad, first, separator = backend.pad_token_id, backend.cls_token_id, backend.sep_token_id
    for batch in itertools.islice(stream(text), 20):
        ids, types, real = (batch.inputs[n] for n in ("input_ids", "token_type_ids", "attention_mask"))
        rows, length = ids.shape
        assert rows == 16 and length <= LENGTH
        assert batch.tokens == int(real.sum())
        places = batch.masked
        restored = batch.unmasked()["input_ids"]
        assert torch.equal(restored.reshape(-1)[places], batch.targets)
        assert not set(batch.targets.tolist()) & {pad, first, separator}
        assert (restored[:, 0] == first).all()
        assert ((restored == pad) == (real == 0)).all()
        separators = (restored == separator).sum(dim=1)
        assert torch.equal(separators, torch.where(batch.pairs == NO_LABEL, 1, 2))
        assert (types[real == 0] == 0).all()
        counts = torch.bincount(places // length, minlength=rows)
        assert (counts <= (0.15 * real.sum(dim=1)).round()).all() and (counts <= 20).all()
        assert counts.float().mean() > 0.1 * length


def test_batches_mask_whole_words(text):
    """All pieces of a word or none, but where a segment cuts it."""
    backend, pieces, masked = text.tokenizer.backend, 0, 0
    for batch in itertools.islice(stream(text), 20):
        rows, length = batch.inputs["input_ids"].shape
        chosen = torch.zeros(rows * length, dtype=torch.bool)
        chosen[batch.masked] = True
        ids = batch.unmasked()["input_ids"]
        for row, picked in zip(ids.tolist(), chosen.view(rows, length).tolist(), strict=True):
            tokens = backend.convert_ids_to_tokens(row)
            for place in range(2, length):
                follows = (
                    tokens[place].startswith("##") and tokens[place - 1] not in backend.all_special_tokens
                )
                if follows:
                    pieces += 1
                    masked += picked[place]
                    assert picked[place] == picked[place - 1]
    assert pieces > 100 and masked > 10


def test_at_most_twenty_tokens_are_predicted_unless_a_work_says_otherwise(text):
    assert work_stream(text, TextTraining(length=512)).max_predictions == 20
    assert work_stream(text, TextTraining(length=512, max_predictions=77)).max_predictions == 77


def test_at_most_so_many_tokens_are_predicted(text):
    batch = next(iter(stream(text, max_predictions=2)))
    assert torch.bincount(batch.masked // batch.inputs["input_ids"].shape[1]).max() == 2


def _facts(batches):
    return [
        [*map(torch.Tensor.tolist, b.inputs.values()), b.masked.tolist(), b.pairs.tolist()] for b in batches
    ]


def test_a_stream_is_entered_at_any_position_and_repeats_itself(text):
    whole = stream(text)
    taken, positions = [], []
    for batch in itertools.islice(whole, 200):
        taken.append(batch)
        positions.append(whole.position)
    assert positions[-1].epoch > 0
    for start in (0, 7, 150):
        later = stream(text, position=Position(*positions[start]))
        assert _facts(itertools.islice(later, 3)) == _facts(taken[start + 1 : start + 4])
    assert _facts(itertools.islice(stream(text), 3)) == _facts(taken[:3])
    assert _facts(itertools.islice(stream(text, seed=4), 3)) != _facts(taken[:3])


def test_epochs_cut_and_mask_anew(text):
    first = next(iter(stream(text)))
    later = next(iter(stream(text, position=Position(epoch=1))))
    assert _facts([first]) != _facts([later])


def test_a_large_corpus_is_cut_into_blocks_that_are_all_read(text, monkeypatch):
    monkeypatch.setattr("tasks.corpus.stream._BLOCK", 1)
    monkeypatch.setattr("tasks.corpus.stream._BATCHES", 1)
    cut_up = stream(text, batch_size=4)
    assert len(cut_up._blocks) > 5
    assert np.array_equal(np.concatenate(cut_up._blocks), text.training)
    blocks = set()
    for _ in cut_up:
        if cut_up.position.epoch:
            break
        blocks.add(cut_up.position.block)
    assert blocks == set(range(len(cut_up._blocks)))


def test_evaluation_sees_every_example_once(text):
    held = Stream(text, text.held_out, LENGTH, 16, "sop", 20, 3)
    sizes = [len(batch.pairs) for batch in held.once()]
    again = [len(batch.pairs) for batch in held.once()]
    assert sizes == again and set(sizes[:-1]) <= {16}
    assert sum(sizes) == len(held._examples(0, 0))


def test_a_corpus_smaller_than_a_batch_is_refused(text):
    with pytest.raises(BadInput, match="fewer than a batch of 100000"):
        next(iter(stream(text, batch_size=100_000)))


def test_a_corpus_without_pairs_is_refused_where_pairs_are_to_be_learnt(text, tmp_path):
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "a.txt").write_text("\n\n".join(f"dawn noon {'ba ' * (i % 7)}" for i in range(60)))
    single = CorpusAccess(Corpus(source="single").located(tmp_path), tmp_path / "cache").text(text.tokenizer)
    with pytest.raises(BadInput, match=r"no example has two segments.*objective: mlm"):
        next(iter(stream(single, "sop", batch_size=4)))
    assert (next(iter(stream(single, "none", batch_size=4))).pairs == NO_LABEL).all()


def test_one_part_without_pairs_is_no_reason_to_refuse_the_others(text, monkeypatch):
    monkeypatch.setattr("tasks.corpus.stream._BLOCK", int(text.tokens(text.training).sum()) // 3)
    monkeypatch.setattr("tasks.corpus.stream._BATCHES", 1)
    parts, whole = stream(text, batch_size=4), Stream._examples

    def examples(self, epoch, block):
        found = whole(self, epoch, block)
        return replace(found, labels=np.full_like(found.labels, NO_LABEL)) if block == 0 else found

    monkeypatch.setattr(Stream, "_examples", examples)
    seen = [batch.pairs for batch in itertools.islice(parts, 200)]
    assert any((pairs == NO_LABEL).all() for pairs in seen) and any((pairs >= 0).any() for pairs in seen)


def test_a_part_that_is_just_too_small_is_cut_anew_and_so_it_is_after_a_kill(text, monkeypatch):
    """Of one document a batch is filled in some epochs alone; where a stream is entered makes no difference."""
    sizes = iter([4, 2, 3, 4, 2, 4])
    known: dict[int, int] = {}
    whole = Stream._examples

    def examples(self, epoch, block):
        found = whole(self, epoch, block)
        count = known.setdefault(epoch, next(sizes, 4))
        return Spans(found.first[:count], found.second[:count], found.labels[:count])

    monkeypatch.setattr(Stream, "_examples", examples)
    unbroken = [batch.inputs["input_ids"] for batch in itertools.islice(stream(text, batch_size=4), 3)]
    resumed = stream(text, batch_size=4, position=Position(0, 0, 1))
    for before, after in zip(unbroken[1:], itertools.islice(resumed, 2), strict=True):
        assert torch.equal(before, after.inputs["input_ids"])


def test_blocks_that_never_fill_a_batch_are_refused(text, monkeypatch):
    monkeypatch.setattr("tasks.corpus.stream._BLOCK", 1)
    monkeypatch.setattr("tasks.corpus.stream._BATCHES", 0)
    with pytest.raises(BadInput, match="never fill a batch of 64"):
        next(iter(stream(text, batch_size=64)))


def test_the_next_phase_goes_on_in_the_block_that_is_cut(text, monkeypatch):
    whole = stream(text)
    taken = [next(batches) for batches in [iter(whole)] for _ in range(3)]
    monkeypatch.setattr("tasks.corpus.stream.spans", lambda *_, **__: pytest.fail("cut again"))
    again = next(iter(whole))
    monkeypatch.undo()
    direct = next(iter(stream(text, position=Position(0, 0, 3))))
    assert torch.equal(again.inputs["input_ids"], direct.inputs["input_ids"])
    assert not torch.equal(again.inputs["input_ids"], taken[-1].inputs["input_ids"])


@pytest.mark.parametrize("blocks", [1, 5])
def test_a_batch_in_parts_needs_as_many_examples_as_the_whole(text, monkeypatch, blocks):
    few = text.training[:40]
    monkeypatch.setattr("tasks.corpus.stream._BLOCK", int(text.tokens(few).sum()) // blocks)
    monkeypatch.setattr("tasks.corpus.stream._BATCHES", 1)
    parts = Stream(text, few, LENGTH, 2, "sop", 20, 3)
    assert len(parts._blocks) == blocks
    examples = sum(len(batch.pairs) for batch in parts.once())
    parts.least = examples
    assert len(next(iter(parts)).pairs) == 2
    message = f"40 documents give {examples} .* fewer than a batch of {examples + 1};"
    for position in (Position(), Position(epoch=1, batch=1)):
        parts = Stream(text, few, LENGTH, 2, "sop", 20, 3, position, least=examples + 1)
        with pytest.raises(BadInput, match=message):
            next(iter(parts))
