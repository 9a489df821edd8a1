"""What distillation methods need on top of the `run` fixture: cached states, a tokenizer, other models."""

from __future__ import annotations

from pathlib import Path

from transformers import BertTokenizerFast

from methods.distillation.teacher_states import TeacherStates
from methods.method import Work
from methods.pretrained import Source
from methods.run import Run

VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "!"),
    *(f"word{number}" for number in range(36)),
    *(f"##part{number}" for number in range(6)),
]
"""50 tokens, as many as the tiny encoders have."""


def with_states(run: Run, work: Work) -> Run:
    """Give `run` the teacher's states that `work` asks for."""
    for need in work.prerequisites():
        if isinstance(need, TeacherStates):
            folder = run.folder.parent / need.label.replace(":", "-")
            if not folder.exists():
                folder.mkdir()
                need.produce(run, folder)
            run.results = {**run.results, "teacher-states": folder}
    return run


def write_tokenizer(folder: Path, vocabulary: list[str] = VOCABULARY) -> Path:
    """Put a WordPiece tokenizer into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def with_model(run: Run, model: object, name: str = "released", vocabulary: list[str] = VOCABULARY) -> Run:
    """Let `run` load `model` under `name`, with the sweep's vocabulary or another."""
    folder = write_tokenizer(run.folder.parent / name, vocabulary)
    model.save_pretrained(folder)
    write_tokenizer(Path(run.model.path))
    run.models = {name: Source(name, None, str(folder))}
    return run
