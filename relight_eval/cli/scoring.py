"""Scoring folders: the options of every command that does it, and the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from relight_eval.cli import options
from relight_eval.cli.keeping import Kept
from relight_eval.cli.keeping import kept as keep
from relight_eval.cli.looking import SecondLook
from relight_eval.cli.output import talk
from relight_eval.cli.progress import progress_bars
from relight_eval.errors import RelightEvalError, UsageError
from relight_eval.places import Place, place

if TYPE_CHECKING:
    from relight_eval.decoding import Readings
    from relight_eval.engines import Cluster
    from relight_eval.groups import Grouping
    from relight_eval.metrics import Settings
    from relight_eval.results import Column, Results


@dataclass(frozen=True)
class Scoring:
    """How folders are scored, as on the command line. See `with_scoring`."""

    metrics: options.Metrics = None
    glob: options.Glob = None
    alpha: options.Alpha = "refuse"
    space: options.Space = None
    white_level: options.WhiteLevel = None
    strict: options.StrictFiles = False
    max_pixels: options.MaxPixels = 178_956_970  # reading.MAX_PIXELS, which would import numpy; a test compares
    input: options.Input = None
    mask: options.Mask = None
    align: options.Align = None
    regions: options.Regions = False
    device: options.Device = "auto"
    batch_size: options.BatchSize = "auto"  # type: ignore[assignment]  # (parsed by the option)
    workers: options.Workers = "auto"  # type: ignore[assignment]
    engine: options.Engine = "local"
    ray_address: options.RayAddress = None
    cpus_per_worker: options.CpusPerWorker = None
    precision: options.Precision = None
    charbonnier_eps: options.CharbonnierEps = 1e-3
    wavelet: options.Wavelet = "haar"
    wssim_levels: options.WssimLevels = 2
    wssim_ratio: options.WssimRatio = 0.7
    vgg19_preset: options.Vgg19Preset = "s3net"
    vgg19_weights: options.Vgg19Weights = None
    offline: options.Offline = False
    cache: options.Cache = None
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
    def readings(self) -> Readings:
        """How the files of each side are read. Raises UsageError."""
        from relight_eval.decoding import Reading, Readings
        from relight_eval.decoding.reading import SIDES

        spaces, levels = _by_side("--space", self.space or ()), _by_side("--white-level", self.white_level or ())
        return Readings(
            **{
                side: Reading(
                    alpha=self.alpha,
                    space=spaces.get(side),  # type: ignore[arg-type]  # (checked by Reading)
                    white_level=_whole(levels.get(side)),
                    strict=self.strict,
                    max_pixels=self.max_pixels,
                )
                for side in SIDES
            }
        )

    @property
    def cluster(self) -> Cluster:
        """Where the engine works. Raises UsageError."""
        from relight_eval.engines import Cluster

        for name, value in (("--ray-address", self.ray_address), ("--cpus-per-worker", self.cpus_per_worker)):
            if self.engine != "ray" and value is not None:
                raise UsageError(f"{name} {value} is of a Ray cluster; add --engine ray, or leave it out")
        return Cluster(self.ray_address, self.cpus_per_worker)

    @property
    def chosen(self) -> str | None:
        """The metrics that were asked for, None for all that are available."""
        return ",".join(self.metrics) if self.metrics else None

    def second_look(self, *, quiet: bool) -> SecondLook:
        """How images are looked at again after they are scored."""
        here = self.device if self.engine == "local" else "auto"
        return SecondLook(here, self.workers, self.vgg19_weights, quiet)

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
        predictions: Mapping[str, str | Place],
        target: str | Place,
        *,
        grouping: Grouping | None = None,
        seed: int = 0,
        required: frozenset[str] = frozenset(),
        floors: bool = False,
        check: Callable[[Results], object] | None = None,
        kept: Kept | None = None,
        quiet: bool = False,
        shard: str | None = None,
    ) -> dict[str, Results]:
        """The results of every run by its label, with progress.

        After Ctrl-C those so far, where files are written of what is `kept`; else it raises KeyboardInterrupt.

        `required` are metrics that must not be left out where their weights are missing. `check` is shown the results
        as they will be, before any image is read, and may raise.
        """
        from relight_eval.evaluate import evaluate_runs

        if kept is None:
            with keep({}, resume=False, cache=self.cache) as cached:
                return self.run(
                    predictions, target, grouping=grouping, seed=seed, required=required, floors=floors, check=check,
                    kept=cached, quiet=quiet, shard=shard,
                )  # fmt: skip
        with progress_bars() as progress:
            results = evaluate_runs(
                {label: place(folder) for label, folder in predictions.items()},
                place(target),
                metrics=self.chosen,
                required=required,
                settings=self.settings,
                glob=self.glob,
                readings=self.readings,
                input=None if self.input is None else place(self.input),
                mask=None if self.mask is None else place(self.mask),
                floors=floors,
                device=self.device,
                batch_size=self.batch_size or None,
                workers=self.workers or None,
                engine=self.engine,
                cluster=self.cluster,
                vgg19_weights=self.vgg19_weights,
                offline=self.offline,
                grouping=grouping,
                seed=seed,
                progress=None if quiet else progress,
                announce=(lambda line: None) if quiet else talk,
                check=check,
                keeping=kept.keeping,
                stop=kept.stop,
                shard=shard,
            )
        if kept.stop.asked and not (kept.reports and any(run.scored for run in results.values())):
            raise KeyboardInterrupt
        return results


def require_scored(results: Results, label: str = "") -> None:
    """Raises RelightEvalError when no pair of this run could be scored: nothing is not success."""
    if not results.scored:
        of_run = f"{label}: " if label else ""
        reason = results.errors[0].error
        raise RelightEvalError(f"{of_run}no pair could be scored; the first of {len(results.errors)} errors: {reason}")


def _by_side(option: str, words: Collection[str]) -> dict[str, str]:
    """Side -> value, of words such as `linear` for all sides and `target=srgb` for one. Raises UsageError."""
    from relight_eval.decoding.reading import SIDES
    from relight_eval.errors import nearest

    found: dict[str, str] = {}
    for word in sorted(words, key=lambda word: "=" in word):  # what is said of one side wins
        side, equals, value = word.rpartition("=")
        if equals and side not in SIDES:
            raise UsageError(f"{option} {word}: {side!r} is no side; {nearest(side, SIDES)}")
        found |= dict.fromkeys((side,) if equals else SIDES, value)
    return found


def _whole(level: str | None) -> int | None:
    if level is not None and not (level.isascii() and level.isdecimal() and len(level) < 7):
        raise UsageError(f"--white-level {level} is no whole number, such as 1023 or 4095")
    return None if level is None else int(level)


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

    hints = get_type_hints(Scoring, include_extras=True) | get_type_hints(command, include_extras=True)
    hints["context"] = typer.Context
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY)]
    of_scoring = inspect.signature(Scoring).parameters
    for parameter in inspect.signature(command).parameters.values():
        parameters += [of_scoring[name] for name in names] if parameter.name == "scoring" else [parameter]
    parameters = [p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del expanded.__wrapped__
    return expanded
