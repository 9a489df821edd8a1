"""The teacher's inner states on disk: a row for every training example, as long as the example is."""

from __future__ import annotations

import errno
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.distillation.parts import BYTES, Dtype, Kind, Part, total_bytes
from tasks.errors import BadInput

INDEX, LENGTHS = "states.json", "lengths.npy"

# NumPy knows no bfloat16: its bits are kept as whole numbers.
_STORED: dict[str, Any] = {"bf16": np.int16, "fp32": np.float32}
_TENSOR = {"bf16": torch.bfloat16, "fp32": torch.float32}


def write(
    folder: Path,
    parts: Sequence[Part],
    lengths: NDArray[np.int64],
    dtype: Dtype,
    rows: Iterable[tuple[int, Mapping[Kind, Tensor]]],
) -> None:
    """Write the states of all examples; nothing is held in memory.

    Args:
        folder: an empty folder.
        parts: what is kept.
        lengths: tokens of each example, shape (n,).
        dtype: how numbers are kept.
        rows: every example's position with its rows by kind, in any order.

    Raises:
        BadInput: the disk has no room for them.
    """
    offsets = {part.kind: part.offsets(lengths) for part in parts}
    with room_for(total_bytes(parts, lengths, dtype), folder, "teacher-states"):
        with ExitStack() as stack:
            # Plain writes: on a full disk they fail with an error, a mapped page ends the process.
            files = {part.kind: stack.enter_context(_file(folder, part.kind).open("wb")) for part in parts}
            for position, row in rows:
                for kind, file in files.items():
                    file.seek(int(offsets[kind][position]) * BYTES[dtype])
                    file.write(_bits(row[kind], dtype))
        (folder / LENGTHS).write_bytes(as_npy(lengths))
        index = {"dtype": dtype, "parts": [asdict(part) for part in parts]}
        (folder / INDEX).write_text(json.dumps(index))


def as_npy(array: NDArray[Any]) -> bytes:
    """An array as `np.load` reads it; `np.save` on a full disk raises an error that does not say so."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@contextmanager
def room_for(needed: int, folder: Path, name: str) -> Iterator[None]:
    """Write a cache of `needed` bytes into `folder` inside the `with` block; `name` is the work's.

    Raises:
        BadInput: the disk has no room for it, before the block or inside it.
    """
    if needed > shutil.disk_usage(folder).free:
        raise _full(name, folder, needed)
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full(name, folder, needed, quota=error.errno == errno.EDQUOT) from error


class States:
    """Cached states, looked up by position, so batches may come in any order.

    Files are mapped into memory for each batch and let go after it: the pages it touched stay in the
    system's cache, shared by all workers, and do not add up in this process.
    """

    def __init__(self, folder: Path, device: torch.device):
        """Open what `write` left in `folder`; batches are put on `device`."""
        index = json.loads((folder / INDEX).read_text())
        self.parts: dict[Kind, Part] = {}
        for part in index["parts"]:
            self.parts[part["kind"]] = Part(part["kind"], tuple(part["layers"]), part["width"])
        self._folder = folder
        self._device = device
        self._dtype: Dtype = index["dtype"]
        self._lengths: NDArray[np.int64] = np.load(folder / LENGTHS)
        self._offsets = {kind: part.offsets(self._lengths) for kind, part in self.parts.items()}

    def read(self, kind: Kind, positions: Tensor) -> Tensor:
        """Return the states of a batch, padded with zeros to its longest example, in fp32.

        Args:
            kind: one of `parts`.
            positions: of the examples in the train split, shape (batch,), on the CPU: to fetch them from a
                GPU would wait for all it has to do.

        Returns:
            A tensor of shape (batch, *row), with rows as in `Part.shape`.
        """
        part, offsets = self.parts[kind], self._offsets[kind]
        chosen = positions.numpy()
        lengths = self._lengths[chosen]
        mapped = np.memmap(_file(self._folder, kind), dtype=_STORED[self._dtype], mode="r")
        batch = np.zeros((len(chosen), *part.shape(int(lengths.max()))), dtype=mapped.dtype)
        for place, (position, tokens) in enumerate(zip(chosen.tolist(), lengths.tolist(), strict=True)):
            row = mapped[offsets[position] : offsets[position + 1]].reshape(part.shape(tokens))
            batch[place][tuple(slice(size) for size in row.shape)] = row
        return torch.from_numpy(batch).view(_TENSOR[self._dtype]).to(self._device, torch.float32)


def _file(folder: Path, kind: Kind) -> Path:
    return folder / f"{kind}.bin"


def _bits(row: Tensor, dtype: Dtype) -> bytes:
    tensor = row.detach().to("cpu", _TENSOR[dtype]).contiguous()
    return tensor.view(torch.int16).numpy().tobytes() if dtype == "bf16" else tensor.numpy().tobytes()


def _full(name: str, folder: Path, needed: int, *, quota: bool = False) -> BadInput:
    free = f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free"
    return BadInput(
        f"{name}: {needed / 1e6:.0f} MB are to be cached in {folder}, which has "
        f"{'no quota left' if quota else free}; make room, or point TMPDIR to another disk"
    )
