"""`python -m benchmark.cli`: the command where its script is not on the path."""

from benchmark.cli import main

main()
