"""Scoring folders: the options of every command that does it, and the call."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.looking import SecondLook
from relight_eval.cli.output import talk
from relight_eval.cli.progress import progress_bars
from relight_eval.errors import RelightEvalError, UsageError

if TYPE_CHECKING:
    from relight_eval.groups import Grouping
    from relight_eval.metrics import Settings
    from relight_eval.results import Column, Results


@dataclass(frozen=True)
class Scoring:
    """How folders are scored, as on the command line. See `with_scoring`."""

    metrics: options.Metrics = None
    glob: options.Glob = None
    alpha: options.Alpha = "refuse"
    input: options.Input = None
    mask: options.Mask = None
    align: options.Align = None
    regions: options.Regions = False
    device: options.Device = "auto"
    batch_size: options.BatchSize = "auto"  # type: ignore[assignment]  # (parsed by the option)
    workers: options.Workers = "auto"  # type: ignore[assignment]
    precision: options.Precision = None
    charbonnier_eps: options.CharbonnierEps = 1e-3
    wavelet: options.Wavelet = "haar"
    wssim_levels: options.WssimLevels = 2
    wssim_ratio: options.WssimRatio = 0.7
    vgg19_preset: options.Vgg19Preset = "s3net"
    vgg19_weights: options.Vgg19Weights = None
    offline: options.Offline = False
    given: frozenset[str] = frozenset()  # of these, what stood on the command line: not defaults, not environment

    @property
    def settings(self) -> Settings:
        from relight_eval.metrics import Settings

        return Settings(
            charbonnier_eps=self.charbonnier_eps,
            wavelet=self.wavelet,
            wssim_levels=self.wssim_levels,
            wssim_ratio=self.wssim_ratio,
            vgg19_preset=self.vgg19_preset,
            precision=self.precision,
            input=self.input is not None,
            align=None if self.align in (None, "none") else self.align,
            regions=self.regions,
        )

    @property
    def chosen(self) -> str | None:
        """The metrics that were asked for, None for all that are available."""
        return ",".join(self.metrics) if self.metrics else None

    def second_look(self, *, quiet: bool) -> SecondLook:
        """How images are looked at again after they are scored."""
        return SecondLook(self.device, self.workers, self.vgg19_weights, quiet)

    def columns(self) -> tuple[Column, ...]:
        """The columns that the results will have. Raises UsageError for an unknown metric or setting."""
        from relight_eval.metrics import chosen, columns

        return columns(chosen(self.chosen), self.settings)

    def require_unused(self, but: tuple[str, ...] = ()) -> None:
        """Raises UsageError when any of these options was given, for they do nothing to saved results."""
        for option in fields(self):
            if option.name in self.given.difference(but):
                name = "--" + option.name.replace("_", "-")
                raise UsageError(f"{name} is for folders of images; saved results were scored already")

    def run(
        self,
        predictions: Mapping[str, Path],
        target: Path,
        *,
        grouping: Grouping | None = None,
        seed: int = 0,
        required: frozenset[str] = frozenset(),
        floors: bool = False,
        check: Callable[[Results], object] | None = None,
        quiet: bool = False,
    ) -> dict[str, Results]:
        """The results of every run by its label, with progress; Ctrl-C ends the process in order.

        `required` are metrics that must not be left out where their weights are missing. `check` is shown the results
        as they will be, before any image is read, and may raise.
        """
        from relight_eval.evaluate import evaluate_runs

        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is something to tidy up
        try:
            with progress_bars() as progress:
                return evaluate_runs(
                    predictions,
                    target,
                    metrics=self.chosen,
                    required=required,
                    settings=self.settings,
                    glob=self.glob,
                    alpha=self.alpha,
                    input=self.input,
                    mask=self.mask,
                    floors=floors,
                    device=self.device,
                    batch_size=self.batch_size or None,
                    workers=self.workers or None,
                    vgg19_weights=self.vgg19_weights,
                    offline=self.offline,
                    grouping=grouping,
                    seed=seed,
                    progress=None if quiet else progress,
                    announce=(lambda line: None) if quiet else talk,
                    check=check,
                )
        except KeyboardInterrupt:
            talk("relight-eval: interrupted; nothing was written")
            raise typer.Exit(exit_codes.INTERRUPTED) from None


def require_scored(results: Results, label: str = "") -> None:
    """Raises RelightEvalError when no pair of this run could be scored: nothing is not success."""
    if not results.scored:
        of_run = f"{label}: " if label else ""
        reason = results.errors[0].error
        raise RelightEvalError(f"{of_run}no pair could be scored; the first of {len(results.errors)} errors: {reason}")


def with_scoring(command: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """The command with all options of Scoring, `without` these, in the place of its parameter `scoring`.

    typer reads the signature of a function: this writes one.
    """
    names = [option.name for option in fields(Scoring) if option.name not in ("given", *without)]

    @wraps(command)
    def expanded(context: typer.Context, **words: Any) -> None:
        sources = {name: context.get_parameter_source(name) for name in names}
        given = frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE")
        command(scoring=Scoring(**{name: words.pop(name) for name in names}, given=given), **words)

    hints = get_type_hints(command, include_extras=True) | get_type_hints(Scoring, include_extras=True)
    hints["context"] = typer.Context
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY)]
    for parameter in inspect.signature(command).parameters.values():
        of_scoring = [inspect.signature(Scoring).parameters[name] for name in names]
        parameters += of_scoring if parameter.name == "scoring" else [parameter]
    parameters = [p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del expanded.__wrapped__
    return expanded
