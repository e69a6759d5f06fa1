"""`relight-eval doctor`: whether this machine can score, and scores right."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes
from relight_eval.cli.output import print_lines

if TYPE_CHECKING:
    from relight_eval.doctor import Check

SOMETHING_WRONG = 1
HELP = f"""\b
Exit codes:
  {exit_codes.OK}   nothing is wrong
  {SOMETHING_WRONG}   something is wrong
  {exit_codes.COULD_NOT}   it could not be done: usage
  {exit_codes.BUG}  a bug, with its traceback
  {exit_codes.INTERRUPTED} interrupted"""

WIDTH = 80
INDENT = 24


def doctor(
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="auto|cpu|cuda[:N]|mps",
            help="Look at this device only.",
            show_default="each kind that is there",
        ),
    ] = None,
    vgg19_weights: Annotated[
        Path | None, typer.Option("--vgg19-weights", metavar="FILE", help="Look at the weights in this file.")
    ] = None,
) -> None:
    """Check that this machine can score, and scores right: libraries, devices, decoders, weights, a known pair.

    One line for each check: ok, WARN (scores can live with it) or WRONG, and what to do. Nothing is fetched. Paste it
    into a report of a problem: folders of your home are told as ~.
    """
    from relight_eval.doctor import Asked, run
    from relight_eval.text import counted

    counts = {"ok": 0, "WARN": 0, "WRONG": 0}
    for check in run(Asked(device, vgg19_weights)):
        counts[check.outcome] += 1
        print_lines(*lines(check))
    print_lines("", f"{counts['WRONG']} wrong, {counted(counts['WARN'], 'warning')}, {counts['ok']} ok")
    if counts["WRONG"]:
        raise typer.Exit(SOMETHING_WRONG)


def lines(check: Check) -> list[str]:
    """At most 80 columns wide, but for a word that is longer; advice below what was found."""
    from relight_eval.text import visible

    found = _wrapped(visible(" ".join(check.found.split())), f"{check.outcome:5}  {check.name:15}  ")
    return found + (_wrapped(visible(" ".join(check.advice.split())), " " * INDENT + "-> ") if check.advice else [])


def _wrapped(text: str, begin: str) -> list[str]:
    indent = " " * len(begin)
    return textwrap.wrap(
        text, WIDTH, initial_indent=begin, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
