"""From text on disk to tokens with words, sentences and documents."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from tiny_corpus import STAGES, VOCABULARY, access, tokens, write_corpus
from tiny_tasks import own_cache

from tasks.corpus import vocabulary
from tasks.corpus.declaration import Corpus
from tasks.corpus.sentences import sentences
from tasks.errors import BadInput
from tasks.tokens import Tokenizer, tokenizer


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("Mr. Smith met Dr. Jones. They left.", ["Mr. Smith met Dr. Jones.", "They left."]),
        ('He said "go." She went.', ['He said "go."', "She went."]),
        ("J. R. R. Tolkien wrote. So did C. S. Lewis.", ["J. R. R. Tolkien wrote.", "So did C. S. Lewis."]),
        ("It cost 3.50 dollars, e.g. Tuesday. Then 4.", ["It cost 3.50 dollars, e.g. Tuesday.", "Then 4."]),
        ("One capital. after it", ["One capital. after it"]),
        ("none at all. after it e.g. here", ["none at all.", "after it e.g. here"]),
        ("Он пришёл. Она ушла.", ["Он пришёл.", "Она ушла."]),
        ("Компания NASA объявила. Она ушла.", ["Компания NASA объявила.", "Она ушла."]),
        (
            "mr. smith met dr. jones. he left at no. he said.",
            ["mr. smith met dr. jones.", "he left at no.", "he said."],
        ),
        ("A. " * 20 + "end. Then.", ["A. " * 20 + "end.", "Then."]),
        ("", []),
        ("   ", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(paragraph, expected):
    assert sentences(paragraph) == expected


def test_no_word_is_lost_between_sentences():
    text = 'A b. C d! (E f.) "G h?" I j: k. L'
    assert " ".join(sentences(text)).split() == text.split()


def test_a_folder_gives_documents_of_paragraphs(tmp_path):
    (tmp_path / "b.txt").write_text("three\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("\n\none\ntwo\n\n  \n\ntwo a", encoding="utf-8-sig")
    (tmp_path / "README.md").write_text("not a text")
    corpus = Corpus(source=".").located(tmp_path)
    assert list(corpus.documents()) == [["one", "two"], ["two a"], ["three"]]


def test_a_data_set_gives_a_document_a_row(tmp_path, monkeypatch):
    own_cache(monkeypatch, tmp_path / "hf")
    rows = {"body": ["One. Two.\nThree.", " ", "Four."], "id": [1, 2, 3]}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "data" / "train.parquet")
    corpus = Corpus(source="data", column="body").located(tmp_path)
    assert list(corpus.documents()) == [["One. Two.", "Three."], ["Four."]]
    with pytest.raises(BadInput, match="no column 'text'; it has body, id"):
        list(Corpus(source="data").located(tmp_path).documents())


def _column_of(folder, values):
    datasets.Dataset.from_dict({"text": values}).to_parquet(folder / "data" / "train.parquet")
    return Corpus(source="data").located(folder)


def test_rows_without_a_text_are_no_documents(tmp_path, monkeypatch):
    own_cache(monkeypatch, tmp_path / "hf")
    corpus = _column_of(tmp_path, [None, "One.", None, "Two."])
    assert list(corpus.documents()) == [["One."], ["Two."]]


@pytest.mark.parametrize(("values", "kind"), [([None, 1, 2], "int"), ([["One."], ["Two."]], "list")])
def test_a_column_that_holds_no_text_is_refused(tmp_path, monkeypatch, values, kind):
    own_cache(monkeypatch, tmp_path / "hf")
    corpus = _column_of(tmp_path, values)
    with pytest.raises(BadInput, match=f"column 'text' holds {kind}, not text"):
        list(corpus.documents())


def test_sentences_are_neither_cut_nor_padded_whatever_the_tokenizer_was_set_to(tmp_path):
    corpus = access(tmp_path)
    made = tokens(corpus).tokenizer
    limited = Tokenizer(copy.deepcopy(made.backend), "another digest")
    limited.backend.backend_tokenizer.enable_padding(length=128)
    limited.backend.backend_tokenizer.enable_truncation(3)
    text, plain = corpus.text(limited), tokens(corpus)
    assert np.array_equal(text.ids, plain.ids) and np.array_equal(text.sentences, plain.sentences)
    assert np.diff(plain.sentences).max() > 3 and (plain.ids != made.backend.pad_token_id).all()


def test_identity_is_the_content_not_the_place(tmp_path):
    first, second = (write_corpus(tmp_path / name) for name in ("x", "y"))
    identities = [Corpus(source=str(folder)).identity() for folder in (first, second)]
    assert identities[0] == identities[1]
    assert str(tmp_path) not in str(identities)
    (second / "texts.txt").write_text("other")
    assert Corpus(source=str(second)).identity() != identities[0]


def test_bad_sources_are_refused_with_advice(tmp_path):
    with pytest.raises(BadInput, match="no folder"):
        Corpus(source="./nowhere").located(tmp_path)
    with pytest.raises(BadInput, match="name the commit"):
        Corpus(source="somebody/texts").located(tmp_path)
    pinned = f"somebody/texts@{'a' * 40}"
    assert Corpus(source=pinned).located(tmp_path).identity() == {
        "id": "somebody/texts",
        "revision": "a" * 40,
        "split": "train",
        "column": "text",
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="is empty"):
        Corpus(source="empty").located(tmp_path).identity()


def _encode(folder, text, encoding="utf-8"):
    corpus = access(folder)
    words = tokenizer(str(corpus.vocabulary("wordpiece", VOCABULARY)), None)
    (folder / "bad").mkdir()
    (folder / "bad" / "a.txt").write_bytes(text.encode(encoding))
    bad = type(corpus)(Corpus(source="bad").located(folder), corpus.cache)
    return bad.text(words)


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("", "utf-8", "is empty"),
        ("\n \n", "utf-8", "is empty"),
        ("One.\nTwo.\nThree.", "utf-8", "no document boundaries"),
        ("Café.\n\nOlé.", "latin-1", "is not UTF-8"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(tmp_path, text, encoding, message):
    with pytest.raises(BadInput, match=message):
        _encode(tmp_path, text, encoding)
    assert not list((tmp_path / "cache" / "corpora").glob("bad-*"))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "'corpus' is empty"),
        (b"\n \n", "'corpus' is empty"),
        (b"One.\nTwo.\nThree.", "'corpus' has no document boundaries"),
        (b"One.\n\nTwo.\n\nThree.\n\nCaf\xe9.", "is not UTF-8"),
    ],
)
def test_no_vocabulary_is_trained_on_texts_that_cannot_be_used(tmp_path, kind, text, message):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_bytes(text)
    with pytest.raises(BadInput, match=message):
        access(tmp_path).vocabulary(kind, VOCABULARY)
    assert not list((tmp_path / "cache" / "vocabularies").glob("*"))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_tokens_know_their_words_sentences_and_documents(tmp_path, kind):
    text = tokens(access(tmp_path), kind)
    backend = text.tokenizer.backend
    assert len(backend) == VOCABULARY
    assert len(text) == 60
    assert len(text.sentences) - 1 == 60 * len(STAGES)
    assert text.sentences[0] == 0 and text.sentences[-1] == len(text.ids) == len(text.words)
    assert text.documents.tolist() == list(range(0, 60 * len(STAGES) + 1, len(STAGES)))
    assert (np.diff(text.sentences) > 0).all()
    assert text.words[text.sentences[:-1]].all()
    for number, stage in enumerate(STAGES):
        begin, end = text.sentences[number : number + 2]
        assert backend.decode(text.ids[begin:end]).startswith(stage)
        # A word begins with every blank; WordPiece takes the full stop for a word of its own.
        spoken = backend.decode(text.ids[begin:end]).replace(" .", ".").split()
        assert text.words[begin:end].sum() == len(spoken) + (kind == "wordpiece")


def test_a_trained_vocabulary_frames_pairs_and_is_lower_cased(tmp_path):
    backend = tokens(access(tmp_path)).tokenizer.backend
    both = backend("Dawn.", "NOON.")
    first, second = (backend.tokenize(word) for word in ("dawn.", "noon."))
    assert backend.convert_ids_to_tokens(both["input_ids"]) == ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    assert both["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert backend.mask_token_id is not None and backend.unk_token == "[UNK]"


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_vocabulary_comes_out_the_same_however_its_trainer_hashes(tmp_path, kind):
    """Its hash tables are in another order each time; words are few, so many pairs are equally frequent."""
    corpus = access(tmp_path).corpus
    made = [
        json.loads((vocabulary.train(corpus, kind, VOCABULARY, folder) / "tokenizer.json").read_text())
        for folder in (tmp_path / name for name in "abcd")
    ]
    code = f"""
from pathlib import Path
from tasks.corpus import vocabulary
from tasks.corpus.declaration import Corpus
vocabulary.train(Corpus(source={corpus.source!r}), {kind!r}, {VOCABULARY}, Path({str(tmp_path / "other")!r}))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    root = Path(vocabulary.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    made.append(json.loads((tmp_path / "other" / "tokenizer.json").read_text()))
    assert all(each == made[0] for each in made)
    assert {token["content"] for token in made[0]["added_tokens"]} == set(vocabulary.SPECIAL)
    backend = tokenizer(str(tmp_path / "a"), None).backend
    assert backend.convert_tokens_to_ids(list(vocabulary.SPECIAL)) == list(range(5))
    # No word of the corpus has these characters.
    assert backend("xyz \u2603", add_special_tokens=False)["input_ids"].count(backend.unk_token_id) > 0
    assert made[0]["model"].get("unk_id", 1) == 1


def test_settling_a_unigram_model_keeps_its_entries_its_scores_and_what_it_cuts(tmp_path):
    """All but the characters it did not learn, which the trainer ranks by its hash table."""
    corpus = access(tmp_path).corpus
    backend = vocabulary._unigram()
    paragraphs = [paragraph for document in corpus.documents() for paragraph in document]
    trainer = vocabulary._trainer("unigram", VOCABULARY, list(vocabulary.SPECIAL))
    backend.train_from_iterator(paragraphs, trainer)
    before = json.loads(backend.to_str())["model"]
    after = json.loads(vocabulary._settled(backend).to_str())["model"]
    scores, settled = dict(before.pop("vocab")), dict(after.pop("vocab"))
    assert before == after
    assert settled.keys() == scores.keys()
    lowest = min(scores.values())
    moved = {piece for piece, score in scores.items() if abs(settled[piece] - score) > 5.1e-5}
    # Words of the corpus have these characters, of which longer entries take all: some, or it shows nothing.
    assert moved and all(len(piece) == 1 for piece in moved)
    assert all(settled[piece] == pytest.approx(lowest, abs=5.1e-5) for piece in moved)
    assert max(scores[piece] for piece in moved) < lowest + 1e-4 * len(scores)
    ranked = [score for piece, score in settled.items() if piece not in vocabulary.SPECIAL]
    assert ranked == sorted(ranked, reverse=True)
    cut = [vocabulary._settled(backend).encode_batch(paragraphs), backend.encode_batch(paragraphs)]
    assert [one.tokens for one in cut[0]] == [one.tokens for one in cut[1]]


def test_each_kind_of_vocabulary_is_cached_by_its_own_version(tmp_path):
    """WordPiece's are as they were when the unigram model's were settled."""
    corpus = access(tmp_path)
    folders = [corpus.vocabulary(kind, VOCABULARY).name for kind in ("wordpiece", "unigram")]
    assert [folder.rpartition("-")[0] for folder in folders] == [
        f"wordpiece-{VOCABULARY}-2",
        f"unigram-{VOCABULARY}-3",
    ]


def test_a_vocabulary_larger_than_the_corpus_gives_is_refused(tmp_path):
    with pytest.raises(BadInput, match="entries, 5000 were asked for"):
        access(tmp_path, documents=4).vocabulary("wordpiece", 5000)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_vocabulary_smaller_than_the_alphabet_is_refused(tmp_path, kind):
    (tmp_path / "corpus").mkdir()
    letters = "\n\n".join(f"{chr(0x4E00 + number)}a." for number in range(300))
    (tmp_path / "corpus" / "a.txt").write_text(letters, encoding="utf-8")
    with pytest.raises(BadInput, match=r"vocabulary: 64 entries .*aise the vocabulary"):
        access(tmp_path).vocabulary(kind, 64)
    assert not list((tmp_path / "cache" / "vocabularies").glob("*"))


def test_special_tokens_written_in_a_text_are_text(tmp_path):
    text = _encode(tmp_path, "A [MASK] of dawn [SEP] noon.\n\n[PAD] Dusk.")
    backend = text.tokenizer.backend
    assert not set(text.ids.tolist()) & (set(backend.all_special_ids) - {backend.unk_token_id})


def test_chunks_make_no_difference_to_the_tokens(tmp_path, monkeypatch):
    corpus = access(tmp_path)
    whole = tokens(corpus)
    monkeypatch.setattr("tasks.corpus.text._CHUNK", 100)
    pieces = tokens(replace(corpus, cache=tmp_path / "again"))
    for name in ("ids", "words", "sentences", "documents"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name


def test_accuracies_are_measured_on_some_of_a_large_corpus(tmp_path, monkeypatch):
    text = tokens(access(tmp_path, documents=400))
    assert np.array_equal(text.examined, text.held_out)
    monkeypatch.setattr("tasks.corpus.text._EXAMINED", int(text.tokens(text.held_out).sum()) // 3)
    assert np.array_equal(text.examined, text.held_out[::4])
    assert not set(text.training) & set(text.held_out)


def test_what_was_prepared_is_taken_from_the_cache(tmp_path, monkeypatch):
    corpus = access(tmp_path)
    before = tokens(corpus)
    monkeypatch.setattr(Corpus, "documents", lambda *_: pytest.fail("read again"))
    again = tokens(corpus)
    assert np.array_equal(before.ids, again.ids) and before.digest == again.digest


_PEAKS = """
import sys
from dataclasses import replace
from pathlib import Path
from tiny_corpus import access
from tasks.tokens import tokenizer

few, many = (access(Path(folder)) for folder in sys.argv[1:])
words = tokenizer(str(few.vocabulary("wordpiece", 90)), None)
# Twice the short one: what the allocator keeps between two rounds is there then.
for corpus in (few, replace(few, cache=few.cache / "again"), many):
    corpus.vocabulary("wordpiece", 80)
    corpus.vocabulary("unigram", 80)
    corpus.text(words)
    status = Path("/proc/self/status").read_text().split()
    print(status[status.index("VmHWM:") + 1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
def test_a_corpus_eight_times_as_long_is_prepared_in_the_same_memory(tmp_path):
    """Peak of a process of its own, as most is allocated outside of Python.

    Held whole, its tokens would take 200 MB more; the words are the same in both. The text alone, 5 MB, would not
    always show: as much lies free in what the allocator keeps.
    """
    few = write_corpus(tmp_path / "few" / "corpus", documents=2048)
    many = tmp_path / "many" / "corpus"
    for name in "abcdefgh":
        shutil.copytree(few, many / name)
    # The allocator takes 4 MB once, mostly in the second round and rarely in the third.
    for _ in range(3):
        before, after = _peaks(few.parent, many.parent)
        if after - before < 3_000:
            return
    pytest.fail(f"{before} kB for the short corpus, {after} for the long one, and as unlike three times")


def _peaks(*folders: Path) -> list[int]:
    """Highest memory in kB of one process that prepares the corpora in turn, read after each of the last two."""
    for folder in folders:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    paths = [str(Path(vocabulary.__file__).parents[2]), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", _PEAKS, *map(str, folders)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"},
        check=True,
        capture_output=True,
        text=True,
    )
    return [int(kilobytes) for kilobytes in done.stdout.split()][-2:]


def test_every_document_is_trained_on_or_held_out(tmp_path):
    text = tokens(access(tmp_path))
    assert sorted([*text.training, *text.held_out]) == list(range(60))
    assert 1 <= len(text.held_out) <= 3
    assert text.tokens(text.training).sum() + text.tokens(text.held_out).sum() == len(text.ids)
