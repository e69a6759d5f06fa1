"""Findings: what each number is called, with its evidence, in which order; the thresholds; the sample images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from relight_eval import columns
from relight_eval.errors import UsageError
from relight_eval.findings import THRESHOLDS, Finding, findings, found, parse, told
from relight_eval.images import read
from relight_eval.metrics.diagnosis import diagnosis
from relight_eval.results import Results, Row
from tests.metrics.diagnosis_reference import decoded, encoded

SAMPLES = Path(__file__).parent.parent / "sample_images"
SCENES = sorted(path.stem for path in (SAMPLES / "target").iterdir())

Pixels = NDArray[np.uint8]

# Of an image without fault, and an error that nothing explains.
FAULTLESS = {column.name: column.identical for column in columns.diagnosis(input=True)} | {
    "share_rest": 1.0, "share_ll2": 1.0, "copy_ratio": 0.3, "local_share": 0.05, "local_x": 8.0, "local_y": 24.0,
}  # fmt: skip


def scored(**scores: float) -> dict[str, float]:
    return FAULTLESS | scores


def kinds(scores: Mapping[str, float], **thresholds: float) -> list[str]:
    return [finding.kind for finding in found(scores, THRESHOLDS | thresholds)]


DARK = {"ev_error": -0.52, "ev_median": -0.48, "share_exposure": 0.9, "share_rest": 0.1}
WARM = {
    "ev_error": 0.1, "wb_angle": 6.2, "gain_r": 0.9, "gain_b": 1.2,
    "share_exposure": 0.1, "share_colour": 0.85, "share_rest": 0.05,
}  # fmt: skip
SOFT = {"shadow_missed": 0.25, "shadow_extra": 0.02, "shadow_iou": 0.7, "shadow_sharpness": 0.71}
WORDS: dict[str, tuple[dict[str, float], str, str]] = {
    "dark": (DARK, "exposure", "too dark (-0.5 stops; 90 % of the error goes with one gain)"),
    "bright": (
        DARK | {"ev_error": 1.25, "ev_median": 1.1},
        "exposure",
        "too bright (+1.2 stops; 90 % of the error goes with one gain)",
    ),
    "black": ({"ev_error": -16.0, "ev_median": -12.0, "shadow_extra": 0.8}, "exposure", "too dark (black)"),
    "warm": (
        WARM,
        "colour cast",
        "a colour cast (+0.1 stops, 6.2° warm; 95 % of the error goes with a gain for each channel)",
    ),
    "baked": (
        {"shadow_baked": 0.391},
        "baked shadows",
        "the input's shadows baked in (39 % of them are still there)",
    ),
    "copied": (
        {"shadow_baked": 1.0, "copy_ratio": 0.9},
        "baked shadows",
        "the input's shadows baked in (100 % of them are still there; no better than the input, 0.90 of its error)",
    ),
    "soft": (
        SOFT,
        "soft shadows",
        "shadow edges too soft (71 % of the target's contrast; 25 % of the target's are missing, "
        "2 % of its own have no place there)",
    ),
    "other shadows": (
        {"shadow_missed": 0.3, "shadow_extra": 0.28, "shadow_iou": 0.6},
        "shadows",
        "shadows in the wrong place (30 % of the target's are missing, 28 % of its own have no place there)",
    ),
    "blur": (
        {"detail_edges": 0.46, "detail_texture": 0.39},
        "blur",
        "blurry (46 % of the contrast of edges, 39 % of fine texture)",
    ),
    "texture": (
        {"detail_edges": 0.84, "detail_texture": 0.36},
        "lost texture",
        "texture lost (84 % of the contrast of edges, 36 % of fine texture)",
    ),
    "noise": ({"detail_texture": 2.04}, "noise", "too much fine contrast (204 % of the target's)"),
    "blocks": (
        {"blockiness": 2.18},
        "blocks",
        "compression blocks (steps every 8 pixels 2.2 times the target's)",
    ),
    "local": (
        {"local_share": 0.97, "local_x": 120.0, "local_y": 88.0},
        "local fault",
        "a local fault near x=120, y=88 (97 % of the error in 1 % of the image)",
    ),
    "uneven": (
        {"ev_error": 0.4, "ev_median": 0.02, "share_exposure": 0.5, "share_rest": 0.5},
        "uneven light",
        "uneven light, a part is too bright (+0.4 stops by least squares, +0.0 in the median)",
    ),
    "uneven, darker": (
        {"ev_error": -0.1, "ev_median": 0.2},
        "uneven light",
        "uneven light, a part is too dark (-0.1 stops by least squares, +0.2 in the median)",
    ),
}


@pytest.mark.parametrize(("scores", "kind", "words"), WORDS.values(), ids=WORDS.keys())
def test_words_with_their_evidence(scores: dict[str, float], kind: str, words: str) -> None:
    assert found(scored(**scores)) == [Finding(kind, words)]


def test_of_a_faultless_image_there_is_nothing() -> None:
    assert found(FAULTLESS) == []
    assert found({column.name: column.identical for column in columns.diagnosis()}) == []


@pytest.mark.parametrize(
    ("gains", "tint"),
    [
        ((0.9, 1.0, 1.2), "warm"),
        ((1.2, 1.0, 0.9), "cool"),
        ((0.9, 1.2, 0.9), "magenta"),
        ((1.1, 0.8, 1.1), "green"),
        ((0.9, 1.03, 1.0), "magenta"),  # 1.05 off between red and blue, 1.09 between green and both
        ((0.0, 1.0, 1.0), "warm"),
        ((1.0, 1.0, 0.0), "cool"),
    ],
)
def test_tint_is_what_there_is_too_much_of(gains: tuple[float, float, float], tint: str) -> None:
    (finding,) = found(scored(**WARM) | {f"gain_{name}": gain for name, gain in zip("rgb", gains, strict=True)})
    assert f"6.2° {tint};" in finding.words


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param(
            DARK | {"share_exposure": 0.6, "share_rest": 0.4} | SOFT, ["exposure", "soft shadows"], id="exposure"
        ),
        pytest.param(
            DARK | {"share_exposure": 0.3, "share_rest": 0.7} | SOFT, ["soft shadows", "exposure"], id="shadows"
        ),
        pytest.param(
            {**DARK, **WARM, "ev_error": -0.5, "share_exposure": 0.8, "share_colour": 0.15},
            ["exposure", "colour cast"],
            id="cast under exposure",
        ),
        pytest.param({"shadow_baked": 0.5} | SOFT, ["baked shadows", "soft shadows"], id="baked before soft"),
        pytest.param({"local_share": 0.9, "detail_texture": 0.4}, ["local fault", "lost texture"], id="local first"),
        pytest.param({"blockiness": 1.9, "detail_texture": 0.4}, ["blocks", "lost texture"], id="blocks first"),
    ],
)
def test_order_is_by_what_explains_most(scores: dict[str, float], expected: list[str]) -> None:
    assert kinds(scored(**scores)) == expected


@pytest.mark.parametrize(
    "moved_by", [{"detail_edges": 0.5, "detail_texture": 0.5}, {"blockiness": 2.0}, {"detail_texture": 2.0}], ids=str
)
def test_shadows_that_blur_blocks_or_noise_moved_are_not_told(moved_by: dict[str, float]) -> None:
    assert not {"shadows", "soft shadows"} & set(kinds(scored(**SOFT, **moved_by)))


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ({"ev_error": -0.5, "ev_median": 0.1, "share_exposure": 0.5}, "median and least squares disagree"),
        ({"ev_error": -0.5, "ev_median": -0.05, "share_exposure": 0.5}, "the median says no"),
        (DARK | {"share_exposure": 0.1}, "it explains little"),
        (WARM | {"share_colour": 0.1}, "colour explains little of what exposure leaves"),
        ({"detail_edges": 0.5, "detail_texture": 1.2}, "edges moved"),
        ({"shadow_sharpness": 0.5}, "soft, but no shadow differs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_such_fault(scores: dict[str, float], why: str) -> None:
    assert set(kinds(scored(**scores))) <= {"uneven light"}, why


def test_soft_shadows_of_something_else_are_in_the_wrong_place() -> None:
    assert kinds(scored(**SOFT | {"shadow_iou": 0.4})) == ["shadows"]


def test_without_the_optional_numbers_nothing_is_made_up() -> None:
    optional = {column.name for column in columns.diagnosis(input=True) if column.optional}
    scores = {name: value for name, value in scored(**SOFT).items() if name not in optional}
    assert kinds(scores) == ["shadows"]
    assert kinds({**scores, "shadow_missed": 0.0, "local_share": 1.0}) == []  # there is no place to name


def test_without_a_median_exposure_is_by_least_squares_alone() -> None:
    """Of a target that is all but black."""
    scores = {name: value for name, value in scored(**DARK).items() if name != "ev_median"}
    assert found(scores) == [Finding("exposure", "too dark (-0.5 stops; 90 % of the error goes with one gain)")]
    assert kinds({**scores, "ev_error": -0.1}) == []
    assert kinds({**scores, "share_exposure": 0.1}) == []  # nor is it uneven


def test_of_a_black_target_the_light_is_told() -> None:
    black = np.zeros((32, 32, 3), np.uint8)
    assert diagnosed(black + np.uint8(90), black + np.uint8(1)) == ["exposure"]


def test_baked_shadows_of_a_table_without_the_copy_ratio() -> None:
    scores = {name: value for name, value in scored(shadow_baked=0.5).items() if name != "copy_ratio"}
    assert told(found(scores)) == "mostly the input's shadows baked in (50 % of them are still there)"


# threshold -> scores on it, the kind with it, and a value at which it is another
ON_THE_THRESHOLD: dict[str, tuple[dict[str, float], str, float]] = {
    "exposure": (DARK | {"ev_error": -0.15, "ev_median": -0.15}, "exposure", 0.151),
    "colour": (WARM | {"wb_angle": 2.0}, "colour cast", 2.01),
    "share": (DARK | {"share_exposure": 0.2, "share_rest": 0.8}, "exposure", 0.201),
    "baked": ({"shadow_baked": 0.15}, "baked shadows", 0.151),
    "shadows": ({"shadow_extra": 0.12}, "shadows", 0.121),
    "soft": (SOFT | {"shadow_sharpness": 0.8}, "soft shadows", 0.79),
    "overlap": (SOFT | {"shadow_iou": 0.5}, "soft shadows", 0.51),
    "detail": ({"detail_edges": 0.75, "detail_texture": 0.75}, "blur", 0.74),
    "noise": ({"detail_texture": 1.5}, "noise", 1.51),
    "content": ({"detail_match": 0.25}, "other content", 0.24),
    "blocks": ({"blockiness": 1.3}, "blocks", 1.31),
    "local": ({"local_share": 0.6}, "local fault", 0.61),
}


@pytest.mark.parametrize("threshold", ON_THE_THRESHOLD)
def test_each_threshold_moves_the_verdict(threshold: str) -> None:
    scores, kind, other = ON_THE_THRESHOLD[threshold]
    assert kinds(scored(**scores)) == [kind]
    assert kind not in kinds(scored(**scores), **{threshold: other})


def test_the_threshold_of_copies_moves_the_words() -> None:
    scores = scored(shadow_baked=0.5, copy_ratio=0.9)
    assert "no better than the input" in told(found(scores))
    assert "no better than the input" not in told(found(scores, THRESHOLDS | {"copy": 0.91}))
    assert {*ON_THE_THRESHOLD, "copy"} == set(THRESHOLDS)


def test_of_other_content_only_exposure_and_colour_are_told_besides() -> None:
    other = {"detail_match": 0.05, "detail_edges": 0.3, "shadow_missed": 0.9, "blockiness": 2.0}
    scores = scored(**DARK | other)
    assert kinds(scores) == ["exposure", "other content"]
    assert "(its detail correlates with the target's by 0.05)" in told(found(scores))


def test_an_image_without_detail_is_flat_and_not_blurry() -> None:
    assert kinds(scored(detail_match=0.0, detail_edges=0.0, detail_texture=0.2, shadow_missed=0.5)) == ["flat"]


def test_the_samples_held_against_each_other_are_other_content() -> None:
    """And against themselves under another light they are not."""
    targets, inputs = (
        torch.stack([read(SAMPLES / side / f"{name}.png").pixels for name in SCENES]) for side in ("target", "input")
    )
    for others, expected in ((targets.roll(1, 0), True), (targets.flip(-1, -2), True), (inputs, False)):
        match = diagnosis(others, targets)["detail_match"]
        assert ((match <= THRESHOLDS["content"]) == expected).all(), match


def test_told_in_one_line() -> None:
    one, two, three = (Finding(word, f"{word} (1)") for word in ("a", "b", "c"))
    assert told([]) == "nothing stands out"
    assert told([one]) == "mostly a (1)"
    assert told([one, two, three]) == "mostly a (1); also b (1); c (1)"


class TestParse:
    def test_as_numbers(self) -> None:
        assert parse(["colour=3", " local = 0.5 ", "share=0"]) == {"colour": 3.0, "local": 0.5, "share": 0.0}
        assert parse([]) == {}

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("color=3", "--threshold \"color=3\": no finding has the threshold 'color'; .*colour"),
            ("=3", "no finding has the threshold ''"),
            ("colour", "'' is not a number; write colour=3"),
            ("colour=three", "'three' is not a number; write colour=3"),
            ("colour=-1", '--threshold "colour=-1": a threshold is a number from 0'),
            ("colour=inf", "a threshold is a number from 0"),
            ("colour=nan", "a threshold is a number from 0"),
        ],
    )
    def test_errors(self, word: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            parse(["share=0.1", word])


class TestResults:
    ROWS = (
        Row("dark", scores=scored(**DARK)),
        Row("fine", scores=FAULTLESS),
        Row("no diagnosis", scores={"psnr": 20.0}),
        Row("gone", status="missing_prediction"),
        Row("half a diagnosis", scores={"ev_error": -3.0}),
    )

    def results(self, **thresholds: float) -> Results:
        return Results("", "", columns.diagnosis(True), self.ROWS, {}, thresholds=thresholds)

    def test_of_every_image_with_a_diagnosis(self) -> None:
        assert findings(self.results()) == {"dark": tuple(found(scored(**DARK))), "fine": ()}

    def test_with_thresholds_of_their_own(self) -> None:
        assert findings(self.results(exposure=0.6)) == {"dark": (), "fine": ()}
        assert findings(self.results(local=0.05))["fine"][0].kind == "local fault"


# The sample images


@cache
def pixels(folder: str, scene: str) -> Pixels:
    (path,) = (SAMPLES / folder).glob(f"{scene}.*")
    return np.asarray(Image.open(path).convert("RGB"))


def diagnosed(prediction: Pixels, target: Pixels, given: Pixels | None = None) -> list[str]:
    p, t, i = (
        None if image is None else torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
        for image in (prediction, target, given)
    )
    scores = {name: value.item() for name, value in diagnosis(p, t, input=i).items()}
    return kinds({name: value for name, value in scores.items() if not math.isnan(value)})


# As sample_images/README.md has them.
FAULTS = {
    "01_chess": "exposure",
    "02_bricks": "colour cast",
    "03_columns": "soft shadows",
    "04_table": "baked shadows",
    "05_village": "blur",
    "06_stairs": "blocks",
    "07_parlour": "lost texture",
    "08_desert": "shadows",
}


@pytest.mark.parametrize("scene", SCENES)
class TestSamples:
    def test_each_prediction_has_the_fault_that_it_was_given(self, scene: str) -> None:
        assert diagnosed(*(pixels(folder, scene) for folder in ("prediction", "target", "input"))) == [FAULTS[scene]]

    def test_without_an_input_too_but_for_its_shadows(self, scene: str) -> None:
        expected = "uneven light" if FAULTS[scene] == "baked shadows" else FAULTS[scene]
        assert diagnosed(pixels("prediction", scene), pixels("target", scene)) == [expected]

    def test_the_early_checkpoint_has_the_shadows_of_the_input(self, scene: str) -> None:
        told = diagnosed(*(pixels(folder, scene) for folder in ("prediction_early", "target", "input")))
        assert told == ["baked shadows", "shadows"]

    def test_nothing_is_wrong_with_the_target(self, scene: str) -> None:
        assert diagnosed(pixels("target", scene), pixels("target", scene), pixels("input", scene)) == []


# Pictures like those of VIDIT: most of them dark, a few lamps.


@cache
def night(seed: int = 0) -> Pixels:
    """Blocks of dark colours, each with a side in the shade, and lamps; a little grain."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.uniform(30, 60, (8, 8, 3)), np.ones((23, 23, 1)))
    blocks[np.arange(184) % 23 < 7] /= 6
    lamps = np.zeros((184, 184))
    lamps[rng.integers(20, 160, 4), rng.integers(20, 160, 4)] = 1
    glow = ndimage.gaussian_filter(lamps, 4) * 2 * np.pi * 16 * 200
    return levels(blocks + glow[..., None] + rng.normal(0, 1.5, blocks.shape))


def levels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def with_gains(image: Pixels, *gains: float) -> Pixels:
    """In linear light."""
    return levels(255 * encoded(np.minimum(decoded(image / 255) * gains, 1)))


def with_noise(image: Pixels, sigma: float) -> Pixels:
    return levels(image + np.random.default_rng(1).normal(0, sigma, image.shape))


def with_hole(image: Pixels) -> Pixels:
    other = image.copy()
    other[64:80, 112:128] = [200, 30, 200]
    return other


GIVEN: dict[str, tuple[Callable[[Pixels], Pixels], list[str]]] = {
    "two stops too dark": (lambda image: with_gains(image, 0.25, 0.25, 0.25), ["exposure"]),
    "half a stop too bright": (lambda image: with_gains(image, 1.4, 1.4, 1.4), ["exposure"]),
    "warm": (lambda image: with_gains(image, 1.15, 1.0, 0.75), ["colour cast"]),
    "green": (lambda image: with_gains(image, 0.85, 1.2, 0.85), ["colour cast"]),
    "dark and warm": (lambda image: with_gains(image, 0.6, 0.5, 0.36), ["exposure", "colour cast"]),
    "black": (np.zeros_like, ["exposure"]),
    "blurry": (lambda image: levels(ndimage.gaussian_filter(image.astype(float), (2, 2, 0))), ["blur"]),
    "noisy": (lambda image: with_noise(image, 8), ["noise"]),
    "hole": (with_hole, ["local fault"]),
}
# What nobody would see, or call by one of these names.
HARMLESS: dict[str, Callable[[Pixels], Pixels]] = {
    "one level more or less": lambda image: levels(image + np.random.default_rng(1).integers(-1, 2, image.shape)),
    "one level brighter": lambda image: levels(image + 1.0),
    "a tenth of a stop": lambda image: with_gains(image, 0.933, 0.933, 0.933),
    "shifted by a pixel": lambda image: np.roll(image, 1, axis=1),
    "twice as large and back": lambda image: np.asarray(
        Image.fromarray(image)
        .resize((2 * image.shape[1],) * 2, Image.Resampling.BICUBIC)
        .resize((image.shape[1],) * 2, Image.Resampling.BICUBIC)
    ),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("picture", ["night", "03_columns"])
def test_a_fault_that_was_given_is_told(picture: str, given: str) -> None:
    target = night() if picture == "night" else pixels("target", picture)
    fault, expected = GIVEN[given]
    assert diagnosed(fault(target), target) == expected


@pytest.mark.parametrize("harmless", HARMLESS)
@pytest.mark.parametrize("picture", ["night", *SCENES])
def test_what_is_harmless_is_not_told(picture: str, harmless: str) -> None:
    target = night() if picture == "night" else pixels("target", picture)
    assert diagnosed(HARMLESS[harmless](target), target) == []


@pytest.mark.parametrize(
    ("picture", "quality"), [("night", 95), *((scene, quality) for scene in SCENES for quality in (90, 95))]
)
def test_good_jpeg_is_harmless(picture: str, quality: int, tmp_path: Path) -> None:
    target = night() if picture == "night" else pixels("target", picture)
    Image.fromarray(target).save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        assert diagnosed(np.asarray(image), target) == []
