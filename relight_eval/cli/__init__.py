"""The command line: options, one call, one print, an exit code. One file per command.

Only typer is imported here; torch, pandas and the rest come when a command runs, so that help is instant.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated

import typer

from relight_eval import __version__
from relight_eval.cli import calibrate, compare, doctor, exit_codes, gate, merge, metrics, report, score, weights
from relight_eval.cli.output import talk
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
app.command("merge", epilog=exit_codes.HELP)(merge.merge)
app.command("gate", epilog=exit_codes.HELP)(gate.gate)
app.command("compare", epilog=exit_codes.HELP)(compare.compare)
app.command("calibrate", epilog=exit_codes.HELP)(calibrate.calibrate)
app.command("report", epilog=exit_codes.HELP)(report.report)
app.command("metrics")(metrics.metrics)
app.command("doctor", epilog=doctor.HELP)(doctor.doctor)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line and end the process with an exit code of the contract."""
    if sys.stdout is None:  # closed, as cron jobs may have it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 gets ? for what it cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app()
    except RelightEvalError as error:
        talk(f"relight-eval: {error}")
        sys.exit(exit_codes.COULD_NOT)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # while help was printed, say
            typer.echo(f"relight-eval: cannot write standard output: {error.strerror}", err=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(exit_codes.COULD_NOT)
        traceback.print_exc()
        typer.echo("relight-eval: this is a bug; please report it with the lines above", err=True)
        sys.exit(exit_codes.BUG)
