"""Reports to look at in a browser: a small one with every kind of row and real files, one of odd names, a large one."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from relight_eval.findings import Finding
from relight_eval.gallery import Gallery, Picture
from relight_eval.groups import Grouping
from relight_eval.results import Column, Results, Row, Verdict

COLUMNS = (
    Column("charbonnier", "charbonnier", "lower", 0.001, 1.0000005, 0.001, "robust difference"),
    Column("wssim", "wssim", "higher", -1.0, 1.0, 1.0, "weighted SSIM"),
    Column("wssim_full", "wssim", "higher", -1.0, 1.0, 1.0, "SSIM of the image"),
    Column("psnr", "psnr", "higher", 0.0, math.inf, math.inf, "peak signal-to-noise ratio", "dB"),
)
SIZE = (48, 32)
PSNR = {"alley_e": 22.0, "alley_w": 24.0, "barn_e": 31.5, "barn_w": 20.5, "cave_e": math.inf, "cave_w": 27.0}
FINDINGS = {
    "barn_w": (
        Finding("exposure", "too dark (0.4 stops; 93 % of the error)"),
        Finding("shadow", "the shadow stands elsewhere"),
    ),
    "alley_e": (Finding("shadow", "the shadow stands elsewhere"),),
}


def results(folder: Path) -> Results:
    """Six scored images, one of them identical to its target, a broken one, and one without partner."""
    rows = [_row(folder, name, psnr) for name, psnr in PSNR.items()]
    dock = str(folder / "out/dock_e.png"), str(folder / "gt/dock_e.png")
    broken = Row("dock_e", *dock, status="error", error="truncated")
    extra = Row("dock_w", str(folder / "out/dock_w.png"), status="missing_target", error="no target of this name")
    return Results(
        prediction=str(folder / "out"),
        target=str(folder / "gt"),
        columns=COLUMNS,
        rows=(*rows, broken, extra),
        signature={"relight-eval": "0.1.0", "charbonnier": "eps=0.001"},
        warnings=("vgg19 was left out",),
        grouping=Grouping("(?P<scene>[a-z]+)_(?P<light>[ew])"),
        verdicts=(
            Verdict("each psnr >= 23", "fail", "each psnr: 2 of 6 images < 23 (worst 20.5000, by 2.5000)",
                    20.5, 23.0, ">=", "psnr", each=True, judged=PSNR, failing=("barn_w", "alley_e")),
            Verdict("mean wssim >= 0.5", "pass", "mean wssim 0.8000 >= 0.5 (by 0.3000)", 0.8, 0.5, ">=", "wssim"),
        ),
    )  # fmt: skip


def _row(folder: Path, name: str, psnr: float) -> Row:
    wssim = 1.0 if math.isinf(psnr) else psnr / 40
    scores = {"charbonnier": 0.001 if math.isinf(psnr) else 1 / psnr, "wssim": wssim, "wssim_full": wssim, "psnr": psnr}
    out, gt, before = (str(folder / place / f"{name}.png") for place in ("out", "gt", "in"))
    mistakes = ("prediction and input are one picture",) if name == "cave_w" else ()
    floors = {"copy the input": {column: value / 2 for column, value in scores.items()}}
    return Row(name, out, gt, *SIZE, scores, input=before, mistakes=mistakes, floors=floors)


def drawn(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Noise, so that no two pixels are alike."""
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))


def webp(image: Image.Image, *, lossless: bool) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", lossless=lossless, quality=75)
    return stream.getvalue()


def write_files(folder: Path) -> None:
    for k, place in enumerate(("out", "gt", "in")):
        (folder / place).mkdir()
        for i, name in enumerate(PSNR):
            drawn(10 * k + i).save(folder / place / f"{name}.png")


def gallery(names: Mapping[str, float] = PSNR) -> Gallery:
    """Predictions as lossy previews, the rest without loss; two maps, of which the second is coarser."""
    pictures = {
        name: Picture(
            target=webp(drawn(10 + i), lossless=True),
            predictions={"": webp(drawn(i), lossless=False)},
            input=webp(drawn(20 + i), lossless=True),
            maps={"": {
                "error": webp(drawn(30 + i).convert("L"), lossless=True),
                "coarse": webp(drawn(40 + i, (12, 8)).convert("L"), lossless=True),
            }},
        )
        for i, name in enumerate(names)
    }  # fmt: skip
    thumbnails = {
        name: Picture(webp(drawn(10 + i), lossless=False), {"": webp(drawn(i), lossless=False)})
        for i, name in enumerate(names)
    }
    scales = {"error": (0.0, 0.5), "coarse": (0.0, 2.0)}
    return Gallery(pictures, thumbnails, scales, {"error": "mean difference of the channels"})


ODD_NAMES = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=alert(1)>",
    "quotes \"double\" 'single' `back`",
    "emoji 🌅 and \N{CJK UNIFIED IDEOGRAPH-5149}",
    "back\\slash",
    "new\nline\ttab",
    "not UTF-8 \udcff",
    "line\u2028separator <!-- comment",
    "turned \u202e around",
    "percent %41 #hash ?query &amp; + plus",
    "long " + "x" * 240,
)


def odd_results(folder: Path) -> Results:
    """Every name that a file can have and a page can stumble over."""
    paths = {name: str(folder / f"{name}.png") for name in ODD_NAMES}
    rows = tuple(
        Row(name, path, path, *SIZE, {"psnr": 20.0 + i}, note=name, input=name)
        for i, (name, path) in enumerate(paths.items())
    )
    return Results(str(folder), str(folder), COLUMNS[3:], rows, {"relight-eval": "<b>0.1.0</b>"}, warnings=ODD_NAMES)


def many_results(count: int) -> Results:
    """As many pairs, with scores that are never alike, findings for some, and no pictures."""
    noise = random.Random(7)
    rows = []
    for i in range(count):
        psnr = noise.gauss(28, 3)
        scores = {"charbonnier": 1 / psnr, "wssim": noise.betavariate(9, 2), "wssim_full": noise.random(), "psnr": psnr}
        name = f"scene_{i % 40:02d}/view_{i:05d}"
        rows.append(Row(name, f"/none/out/{name}.png", f"/none/gt/{name}.png", 4096, 4096, scores))
    scenes = Grouping(r"(?P<scene>scene_\d+)")
    return Results("out", "gt", COLUMNS, tuple(rows), {"relight-eval": "0.1.0"}, grouping=scenes)
