"""`make bench`: the speed ratios of docs/performance.md, measured in one run."""

from __future__ import annotations

import os
import sys

from benchmark.environment import processor
from tests.bench import distillation, overhead, planning, pretraining, released, rewards, training


def main() -> None:
    """Print every figure with its bound; sections can be named on the command line."""
    wanted = sys.argv[1:] or [
        "planning",
        "overhead",
        "training",
        "rewards",
        "distillation",
        "pretraining",
        "released",
    ]
    print(f"# {processor()}, {os.cpu_count()} CPUs")
    if "planning" in wanted:
        for line in planning.measure():
            print(line, flush=True)
    if "overhead" in wanted:
        print(overhead.measure(), flush=True)
    glue = ("LEANBOARD_GLUE", "a folder with GLUE in the Hub's layout")
    corpus = ("LEANBOARD_CORPUS", "a folder of .txt files with documents")
    for name, section, (variable, content) in (
        ("training", training, glue),
        ("rewards", rewards, glue),
        ("distillation", distillation, glue),
        ("pretraining", pretraining, corpus),
    ):
        if name in wanted:
            if variable not in os.environ:
                sys.exit(f"{name}: set {variable} to {content}")
            for line in section.measure():
                print(line, flush=True)
    if "released" in wanted:
        for line in released.measure():
            print(line, flush=True)


if __name__ == "__main__":
    main()
