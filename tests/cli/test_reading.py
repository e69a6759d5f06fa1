"""The options that say how files are read, from the command line to the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from tests.cli.commands import Command
from tests.folders import picture, worse, write

FAST = ("-m", "charbonnier,psnr", "--device", "cpu", "--no-csv", "--json", "s.json")


def linear(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, of values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def write_exr(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": values.astype(np.float32)}).write(str(path))


def write_png16(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(values.astype(np.uint16)))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A prediction in linear EXR, and its target in 8-bit sRGB."""
    target = picture(3)
    prediction = worse(target, 8)
    write(tmp_path / "gt" / "a.png", target)
    write_exr(tmp_path / "out" / "a.exr", linear(prediction / 255))
    write(tmp_path / "same" / "a.png", prediction)
    return tmp_path / "out", tmp_path / "gt"


def pair() -> dict[str, Any]:
    return json.loads(Path("s.json").read_text())["pairs"][0]


def signature() -> dict[str, str]:
    return json.loads(Path("s.json").read_text())["signature"]


def psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((prediction.astype(np.float64) - target) ** 2)))


class TestSpace:
    def test_linear_light_and_srgb_are_brought_together_and_said(
        self, command: Command, folders: tuple[Path, Path], tmp_path: Path
    ) -> None:
        assert command("score", *folders, *FAST).code == 0
        deep = pair()
        assert "prediction: linear light, encoded as sRGB" in deep["note"]
        assert command("score", tmp_path / "same", folders[1], *FAST).code == 0
        assert deep["scores"]["psnr"] == pytest.approx(pair()["scores"]["psnr"], abs=1e-4)

    def test_what_is_said_of_one_side_counts_for_that_side(self, command: Command, folders: tuple[Path, Path]) -> None:
        assert command("score", *folders, *FAST, "--space", "prediction=srgb").code == 0
        stored = linear(worse(picture(3), 8) / 255)
        assert pair()["scores"]["psnr"] == pytest.approx(psnr(stored, picture(3) / 255), abs=1e-4)
        assert signature()["input"] == "srgb,alpha=refuse,space=srgb/file/file,white=full"

    def test_said_of_all_and_of_one_the_one_wins(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("--space", "target=srgb", "--space", "linear")
        assert command("score", *folders, *FAST, *words).code == 0
        assert signature()["input"] == "srgb,alpha=refuse,space=linear/srgb/linear,white=full"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--space", "adobe"), 'space "adobe" is not one of srgb, linear, gamma2.2'),
            (("--space", "targt=srgb"), "--space targt=srgb: 'targt' is no side; did you mean target?"),
            (("--white-level", "lots"), "--white-level lots is no whole number, such as 1023 or 4095"),
            (("--white-level", "prediction=70000"), "the white level is 70000; it must be from 1 to 65535"),
        ],
    )
    def test_words_that_mean_nothing(
        self, command: Command, folders: tuple[Path, Path], words: tuple[str, ...], message: str
    ) -> None:
        found = command("score", *folders, *FAST, *words)
        assert found.code == 2
        assert message in found.err


class TestWhiteLevel:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        """Both sides hold 10 bits in 16."""
        target = picture(3).astype(np.uint16) * 4
        write_png16(tmp_path / "gt" / "a.png", target)
        write_png16(tmp_path / "out" / "a.png", np.minimum(target + 9, 1023))
        return tmp_path / "out", tmp_path / "gt"

    def test_it_is_the_value_that_means_one(self, command: Command, folders: tuple[Path, Path]) -> None:
        assert command("score", *folders, *FAST, "--white-level", "1023").code == 0
        target = picture(3).astype(np.float64) * 4
        expected = psnr(np.minimum(target + 9, 1023) / 1023, target / 1023)
        assert pair()["scores"]["psnr"] == pytest.approx(expected, abs=1e-4)
        assert signature()["input"].endswith("white=1023")

    def test_without_it_they_are_scored_as_stored_and_a_mistake_is_suspected(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        assert command("score", *folders, *FAST).code == 0
        assert any("--white-level 1023" in mistake for mistake in pair()["mistakes"])


def test_sixteen_bits_are_not_rounded_to_eight(command: Command, tmp_path: Path) -> None:
    target = picture(3).astype(np.uint16) * 257
    write_png16(tmp_path / "gt" / "a.png", target)
    write_png16(tmp_path / "out" / "a.png", np.minimum(target.astype(int) + 20, 65535))  # a tenth of a level of 255
    assert command("score", tmp_path / "out", tmp_path / "gt", *FAST).code == 0
    expected = psnr(np.minimum(target + 20.0, 65535) / 65535, target / 65535.0)
    assert pair()["scores"]["psnr"] == pytest.approx(expected, abs=1e-3)


def test_deep_and_plain_targets_in_one_run_are_each_scored_as_alone(command: Command, tmp_path: Path) -> None:
    for i in range(4):
        target = picture(i)
        write(tmp_path / "out" / f"{i}.png", worse(target, 8))
        deep = tmp_path / "gt" / f"{i}.png"
        write_png16(deep, target.astype(np.uint16) * 257) if i % 2 else write(deep, target)
    assert command("score", tmp_path / "out", tmp_path / "gt", *FAST).code == 0
    together = {each["image"]: each["scores"] for each in json.loads(Path("s.json").read_text())["pairs"]}
    for name in together:
        assert command("score", tmp_path / "out", tmp_path / "gt", *FAST, "--glob", f"{name}.png").code == 0
        assert pair()["scores"] == together[name]


class TestStrict:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        write(tmp_path / "gt" / "a.png", picture(3))
        (tmp_path / "out").mkdir()
        Image.fromarray(picture(3)).convert("CMYK").save(tmp_path / "out" / "a.jpg")
        return tmp_path / "out", tmp_path / "gt"

    def test_what_would_have_to_be_converted_is_an_error_row(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        assert command("score", *folders, *FAST).code == 0
        assert "CMYK" in pair()["note"]
        assert command("score", *folders, *FAST, "--strict").code == 2  # (there is no other pair)
        assert "CMYK" in pair()["error"]

    def test_of_a_gate_too(self, command: Command, folders: tuple[Path, Path]) -> None:
        rule = ("--require", "psnr >= 1", "--device", "cpu")
        assert command("gate", *folders, *rule).code == 0
        found = command("gate", *folders, *rule, "--strict")
        assert found.code == 2
        assert "CMYK" in found.err


def test_more_pixels_than_allowed_are_an_error_row(command: Command, folders: tuple[Path, Path]) -> None:
    found = command("score", *folders, *FAST, "--max-pixels", "1000")
    assert found.code == 2
    assert "48x40 is more than the limit of 1000 pixels" in found.err
    assert "--max-pixels" in found.err


def test_a_page_and_maps_of_deep_images_show_what_was_scored(
    command: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ("--html", "page.html", "--maps", "maps")
    found = command("score", *folders, *FAST, *words, "--input", folders[1], "--regions", "--align", "gain")
    assert found.code == 0
    assert "WARNING" not in found.err
    assert list(Path("maps").glob("a/*.png"))
    again = command("report", "s.json", "--html", "again.html")
    assert (again.code, again.err) == (0, "wrote again.html\n")
    write_exr(folders[0] / "a.exr", linear(worse(picture(3), 9) / 255))
    other = command("report", "s.json", "--html", "again.html")
    assert "is not what was scored" in other.err
