"""The command line. Heavy imports happen inside commands, so `--help` answers at once."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, NoReturn

import typer

from benchmark.cli import carrying, comparing, listing, looking, running, setting_up, studying
from tasks.errors import BadInput

app = typer.Typer(
    name="leanboard",
    help=(
        "Which compression method is really better for a BERT-like encoder?\n\n"
        "A sweep (YAML) names methods x tasks x seeds. `run` executes it on this machine or a Ray cluster, "
        "MLflow shows every run, and the leaderboard says what is better and what is noise.\n\n"
        "Start with:  leanboard init sweep.yaml  ->  leanboard plan sweep.yaml  ->  leanboard run sweep.yaml"
    ),
    epilog="Exit codes: 0 all done; 1 some trials failed, a check of doctor did, or a night ran nothing; "
    "2 wrong usage or input; 3 regression (nightly); 130/143 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
running.add_to(app)
studying.add_to(app)
looking.add_to(app)
comparing.add_to(app)
carrying.add_to(app)
listing.add_to(app)
setting_up.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"leanboard {version('leanboard')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input ends with exit code 2 and a message, not a traceback."""
    try:
        app()
    except BadInput as error:
        _refuse(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A file that is a folder, a disk that is full: nothing a traceback explains.
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        _refuse(str(error))


def _refuse(problem: str) -> NoReturn:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    for line in problem.splitlines():
        console.print(f"[red]error:[/] {escape(line)}", highlight=False, soft_wrap=True)
    sys.exit(2)
