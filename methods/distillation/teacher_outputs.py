"""What the teacher says about every training example, computed once for all students."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from methods.method import Prerequisite, Size

if TYPE_CHECKING:
    from methods.run import Run


class TeacherOutputs(
    Prerequisite,
    name="teacher-outputs",
    family="prerequisite",
    version=1,
    needs=("finetune",),
):
    """The start model's logits of the train split: `train_logits.npy`, fp32, shape (n, classes)."""

    def cost(self) -> float:
        """One forward pass over the split, against three epochs forward and backward."""
        return 0.1

    def disk_bytes(self, size: Size) -> int:
        """Four bytes for each logit."""
        return 4 * size.examples * size.classes

    def produce(self, run: Run, folder: Path) -> None:
        """Write the logits in the order of `run.train`: eval mode, no dropout, fp32."""
        from methods.distillation.states import as_npy, room_for
        from methods.inference import predict

        with room_for(4 * len(run.train) * len(run.task.labels), folder, self.name):
            (folder / "train_logits.npy").write_bytes(as_npy(predict(run.start(), run.train)))
