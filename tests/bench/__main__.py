"""`make bench`: the speed ratios of docs/performance.md, measured in one run."""

from __future__ import annotations

import os
import sys

from benchmark.environment import processor
from tests.bench import distillation, overhead, planning, rewards, training


def main() -> None:
    """Print every figure with its bound; sections can be named on the command line."""
    wanted = sys.argv[1:] or ["planning", "overhead", "training", "rewards", "distillation"]
    print(f"# {processor()}, {os.cpu_count()} CPUs")
    if "planning" in wanted:
        for line in planning.measure():
            print(line, flush=True)
    if "overhead" in wanted:
        print(overhead.measure(), flush=True)
    sections = (("training", training), ("rewards", rewards), ("distillation", distillation))
    for name, section in sections:
        if name in wanted:
            if "LEANBOARD_GLUE" not in os.environ:
                sys.exit(f"{name}: set LEANBOARD_GLUE to a folder with GLUE in the Hub's layout")
            for line in section.measure():
                print(line, flush=True)


if __name__ == "__main__":
    main()
