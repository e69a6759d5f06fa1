"""The command line: options, one call, one print, an exit code. One file per command.

Only typer is imported here; torch, pandas and the rest come when a command runs, so that help is instant.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from relight_eval import __version__
from relight_eval.cli import exit_codes, metrics, score, weights
from relight_eval.errors import RelightEvalError

app = typer.Typer(
    name="relight-eval",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"relight-eval {__version__}")
        raise typer.Exit


@app.callback(epilog=exit_codes.HELP)
def relight_eval(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """How good is a relit image, and why is it wrong."""


app.command("score", epilog=exit_codes.HELP)(score.score)
app.command("metrics")(metrics.metrics)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line and end the process with an exit code of the contract."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 gets ? for what it cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app()
    except RelightEvalError as error:
        typer.echo(f"relight-eval: {error}", err=True)
        sys.exit(exit_codes.COULD_NOT)
    except Exception:
        traceback.print_exc()
        typer.echo("relight-eval: this is a bug; please report it with the lines above", err=True)
        sys.exit(exit_codes.BUG)
