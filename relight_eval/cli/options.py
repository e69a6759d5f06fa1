"""The options of the commands, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from relight_eval.places import Address, place

LARGEST_SEED = 2**63 - 1  # what saved results can hold


def _seed(seed: int | None) -> int | None:
    """A seed that saved results can hold; typer's own `max` would stand in the help with all its digits."""
    if seed is not None and seed > LARGEST_SEED:
        raise typer.BadParameter(f"must be at most {LARGEST_SEED}")
    return seed


def _auto_or_count(text: str) -> int:
    """0 for `auto`; anything else but a whole number from 1 is a usage error."""
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter("must be auto or a whole number from 1")
    return int(text)


def named(word: str | None) -> str | None:
    """A word that names a file or a folder, here or at an address.

    Raises UsageError for an address that is none, or holds a secret: before any message repeats it.
    """
    if word is not None:
        place(word)
    return word


def images(word: str | None) -> str | None:
    """The same of images. An empty word would be the working folder, which a script whose variable is not set does not
    mean.
    """
    if word == "":
        raise typer.BadParameter("is empty; name a folder of images, or one image")
    return named(word)


def local(word: str) -> Path:
    """A file or folder of this machine; that is what it must be. (Weights may be called vgg19.pth.tar.)"""
    found = place(word) if "://" in word else Path(word)
    if isinstance(found, Address):
        raise typer.BadParameter(f"{word} is an address; this must be on a disk of this machine")
    return found


Prediction = Annotated[
    str,
    typer.Argument(
        metavar="PREDICTION",
        help="Folder of relit images (or one image): here, in a .tar or .zip, or at an address such as s3://bucket/out.",
        show_default=False,
        callback=images,
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Folder of ground truth (or one image), likewise.",
        show_default=False,
        callback=images,
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--metrics",
        metavar="A,B",
        help="Metrics to compute; default: all that are available (gate: those of the rules).",
    ),
]
Csv = Annotated[
    str | None,
    typer.Option(
        "--csv",
        metavar="PATH",
        help="Where to write the scores as CSV; - is standard output.",
        show_default="scores.csv",
        callback=named,
    ),
]
SavedCsv = Annotated[
    str | None,
    typer.Option("--csv", metavar="PATH", help="Write the scores as CSV; - is standard output.", callback=named),
]
NoCsv = Annotated[bool, typer.Option("--no-csv", help="Write no CSV.")]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="PATH", help="Write everything as JSON; - is standard output.", callback=named),
]
Glob = Annotated[
    str | None,
    typer.Option("--glob", metavar="PATTERN", help="Only files whose path below the folder matches, in both folders."),
]
Missing = Annotated[
    Literal["error", "skip"],
    typer.Option("--missing", help="Files without a partner: exit code 3, or no matter for the exit code."),
]
Alpha = Annotated[
    Literal["refuse", "drop", "black", "white"],
    typer.Option("--alpha", help="Images with real transparency: an error row, ignore it, or lay them on a colour."),
]
Space = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        metavar="[SIDE=]SPACE",
        help="What the values of the files mean: srgb, linear or gamma2.2; of one SIDE only: prediction=linear. "
        "Default: what the file says, else linear for EXR, HDR and NPY, srgb for the rest.",
    ),
]
WhiteLevel = Annotated[
    list[str] | None,
    typer.Option(
        "--white-level",
        metavar="[SIDE=]N",
        help="The value that is white in 16-bit files that hold fewer bits, such as 1023 or 4095.",
    ),
]
StrictFiles = Annotated[
    bool, typer.Option("--strict", help="Files of other colours, or that could be read in part only: an error row.")
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels", metavar="N", min=1, help="Files with more pixels are refused before they are decoded."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        parser=local,
        help="Keep scores by the content of the files, and score only what is not there.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with a run that was stopped: score only what is missing, or has changed."),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="K/N", help="Score the K-th of N parts of the pairs, to --json PATH and no CSV; see `merge`."
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda[:N]|mps", help="Where to compute.")]
BatchSize = Annotated[
    int, typer.Option("-b", "--batch-size", metavar="auto|N", parser=_auto_or_count, help="Pairs at once.")
]
Workers = Annotated[
    int,
    typer.Option(
        "-j", "--workers", metavar="auto|N", parser=_auto_or_count, help="Threads that decode, and on a CPU score."
    ),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Who does the work: this machine, or the workers of a Ray cluster."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The cluster, as Ray names it.",
        show_default="$RAY_ADDRESS, or workers on this machine",
    ),
]
CpusPerWorker = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-worker",
        metavar="N",
        min=1,
        help="CPUs of each worker of the cluster.",
        show_default="1; with GPUs, as many as there are for each",
    ),
]
Precision = Annotated[
    Literal["exact", "fast"] | None,
    typer.Option(
        "--precision",
        help="Float32, or on CUDA half precision for VGG19.",
        show_default="exact; fast on CUDA",
    ),
]
CharbonnierEps = Annotated[float, typer.Option("--charbonnier-eps", metavar="EPS", help="The eps of Charbonnier.")]
Wavelet = Annotated[
    str, typer.Option("--wavelet", metavar="NAME", help="The wavelet of W-SSIM: any discrete one of PyWavelets.")
]
WssimLevels = Annotated[int, typer.Option("--wssim-levels", metavar="N", help="Wavelet levels of W-SSIM, 1 to 8.")]
WssimRatio = Annotated[
    float, typer.Option("--wssim-ratio", metavar="R", help="Weight ratio r of W-SSIM, between 0 and 1.")
]
Vgg19Preset = Annotated[
    Literal["s3net", "drn", "imagenet"], typer.Option("--vgg19-preset", help="How images are fed to VGG19.")
]
Vgg19Weights = Annotated[
    Path | None,
    typer.Option("--vgg19-weights", metavar="FILE", parser=local, help="VGG19 weights; see `relight-eval weights`."),
]
Offline = Annotated[bool, typer.Option("--offline", envvar="RELIGHT_EVAL_OFFLINE", help="Never fetch weights.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="DIR", help="Folder of what was relit: tells shadows that were left.", callback=images
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        "--mask", metavar="DIR", help="Folder of masks; only pixels that are more than 0 count.", callback=images
    ),
]
Align = Annotated[
    str | None,
    typer.Option(
        "--align",
        metavar="KIND",
        help="Add scores of the aligned prediction, and what was fitted: gain, channel-gain, mean-shift, affine, "
        "stanford-orb, objects-with-lighting or latent-intrinsics.",
    ),
]
Regions = Annotated[
    bool, typer.Option("--regions", help="Add scores in the shadows, mid-tones and highlights of the target.")
]
Floors = Annotated[
    bool, typer.Option("--floors", help="Score trivial predictions, too: black, the mean colour, the --input.")
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        metavar="NAME=VALUE",
        help="What a finding takes, such as colour=3; see `relight-eval metrics diagnosis`.",
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="RULE", help='A rule, such as "wssim >= 0.9"; may be given several times.'),
]
Rules = Annotated[
    str | None, typer.Option("--rules", metavar="FILE", help="Rules from a TOML file: require = [...].", callback=named)
]
Junit = Annotated[
    str | None, typer.Option("--junit", metavar="PATH", help="Write the verdicts as JUnit XML.", callback=named)
]
Markdown = Annotated[
    str | None, typer.Option("--markdown", metavar="PATH", help="Write a summary as Markdown.", callback=named)
]
Html = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar="PATH",
        help="Write a page to look at: images, maps, findings, distributions.",
        callback=named,
    ),
]
NoImages = Annotated[bool, typer.Option("--no-images", help="Link the images in the page, and read none of them.")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="TRACKER:PLACE",
        help="Log the scores and the worst images: tensorboard:DIR, mlflow:URI or wandb:PROJECT; may be given several "
        "times.",
    ),
]
LogStep = Annotated[
    int | None, typer.Option("--log-step", metavar="N", min=0, help="The training step that --log logs at.")
]
Maps = Annotated[
    str | None,
    typer.Option("--maps", metavar="DIR", help="Write maps of where the errors are, as PNG.", callback=named),
]
MapsCount = Annotated[
    int,
    typer.Option(
        "--maps-count",
        metavar="auto|N",
        parser=_auto_or_count,
        help="Images that --maps is of; auto: those that fail a rule, and the ten worst.",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="REGEX",
        help="Named groups of images, told from their names: a table for each, and intervals that resample the "
        'first. Such as "(?P<scene>[^_]+)_".',
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, callback=_seed, help="Seed of the intervals.")]
SavedSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        callback=_seed,
        help="Seed of the intervals.",
        show_default="0, or that of saved results",
    ),
]
NoiseFile = Annotated[
    str | None,
    typer.Option(
        "--noise",
        metavar="FILE",
        help="What `calibrate` wrote.",
        callback=named,
        show_default="NAME.noise.json beside the baseline NAME.json, if there is one",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No tables and no progress, only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="List every row with an error or a note.")]
