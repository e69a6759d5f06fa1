"""`relight-eval weights`: where the VGG19 weights are, and how to get them where they are not.

What a script may want (a path, the state of things) goes to stdout, talk and the progress bar to stderr.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes
from relight_eval.cli.output import print_lines, talk
from relight_eval.cli.progress import download_bar
from relight_eval.errors import WeightsError

if TYPE_CHECKING:
    from relight_eval.weights import VGG19Weights

app = typer.Typer(
    help="Show, fetch, import and export the VGG19 weights (for the vgg19 columns).",
    no_args_is_help=True,
)

NamedFile = Annotated[
    Path | None,
    typer.Option("--vgg19-weights", metavar="FILE", help="Use the weights in this file.", show_default=False),
]


@app.command()
def show(vgg19_weights: NamedFile = None) -> None:
    """Say where the weights come from, and what to do if there are none.

    Exit code 0 when they are ready, 2 when not.
    """

    from relight_eval import weights
    from relight_eval.text import visible

    status = weights.status(vgg19_weights)
    lines = [f"VGG19 weights: {'ready' if status.ready else 'not ready'}", ""]
    for look in status.looks:
        lines.append(f"  {look.state:8} {look.name}")
        if look.path:
            lines.append(f"           {visible(str(look.path))}")
    if status.weights is None:
        lines += ["", textwrap.fill(visible(status.advice), 80, break_long_words=False, break_on_hyphens=False)]
    else:
        lines += ["", f"  sha256   {status.weights.sha256}", f"  made of  {_source(status.weights)}"]
    print_lines(*lines)
    if not status.ready:
        raise typer.Exit(exit_codes.COULD_NOT)


@app.command()
def fetch(
    force: Annotated[bool, typer.Option("--force", help="Fetch even if they are in the cache.")] = False,
) -> None:
    """Download torchvision's VGG19 (548 MiB), verify it, and keep the 2.2 MB that are used.

    Prints the path of the file that was kept.
    """
    from relight_eval import weights

    if weights.cache_file().exists() and not force:
        try:
            found = weights.load(weights.cache_file())
        except WeightsError as error:
            raise WeightsError(f"{error} Or run `relight-eval weights fetch --force`.") from error
        talk("already in the cache, nothing fetched (--force fetches again)")
    else:
        with download_bar() as progress:
            found = weights.fetch(weights.TORCHVISION, progress=progress, announce=talk)
    talk(_described(found))
    print_lines(str(weights.cache_file()))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth checkpoint, or the small file.")],
) -> None:
    """Take the weights from FILE into the cache.

    FILE is torchvision's vgg19-dcbb9e9d.pth, a state dict of its features, or what `export` wrote. Prints
    the path of the file that was kept.
    """
    from relight_eval import weights

    path = weights.import_file(file)
    talk(_described(weights.load(path)))
    print_lines(str(path))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To write; ends in .safetensors.")],
    vgg19_weights: NamedFile = None,
) -> None:
    """Write the 2.2 MB that are used to FILE.

    To commit to a repository, or to carry to a machine without a network and `import` there. Nothing is
    fetched. Prints the path.
    """
    from relight_eval import weights

    found = weights.find(vgg19_weights, offline=True, announce=talk)
    weights.export(found, file)
    talk(_described(found))
    print_lines(str(file))


def _described(weights: VGG19Weights) -> str:
    return f"VGG19 weights {weights.sha256[:8]}, made of {_source(weights)}"


def _source(weights: VGG19Weights) -> str:
    return "torchvision's IMAGENET1K_V1" if weights.official else "another file than torchvision's (unofficial)"
