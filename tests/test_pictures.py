"""Pictures and maps of a run: what fits a page, maps in their place and on one scale, files that are gone."""

from __future__ import annotations

import io
import json
import shutil
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from relight_eval.decoding import Reading, Readings
from relight_eval.errors import ReportError
from relight_eval.evaluate import evaluate
from relight_eval.gallery import Gallery, Picture
from relight_eval.groups import Grouping
from relight_eval.images import read
from relight_eval.magma import COLOURS
from relight_eval.metrics import METRICS, Batch, Metric, Settings, build
from relight_eval.metrics.metric import Map
from relight_eval.metrics.psnr import psnr
from relight_eval.pictures import files, gallery, order, shelf, write_maps
from relight_eval.pictures.album import Album
from relight_eval.pictures.encoded import fitted
from relight_eval.pictures.errors import Errors, at_pixels, shrunk
from relight_eval.pictures.scales import rounded_up
from relight_eval.pictures.threads import Once, threads
from relight_eval.places import content, place
from relight_eval.results import Better, Column, Results, Row, Verdict
from relight_eval.weights import find
from tests.folders import Pixels, picture, worse, write

CPU = torch.device("cpu")
Maps = Callable[[Batch], Tensor]
Floats = NDArray[np.float64]


def difference(batch: Batch) -> Tensor:
    """Mean |d| over the channels, (N, H, W)."""
    return (batch.prediction.float() - batch.target.float()).abs().mean(dim=1) / 255


def fake(
    values: Maps = difference, name: str = "away", better: Better = "lower", identical: float = 0.0, **where: int
) -> Metric:
    """A metric of one column with one map."""
    column = Column(name, name, better, 0.0, 1.0, identical, "how far")

    def score(batch: Batch) -> Tensor:
        return values(batch).mean(dim=(1, 2))[:, None]

    return Metric(name, (column,), score, maps=lambda batch: {name: Map(values(batch), **where)})


def row_of(root: Path, name: str, target: Pixels, prediction: Pixels, run: str = "out") -> Row:
    paths = [write(root / side / f"{name}.png", pixels) for side, pixels in ((run, prediction), ("gt", target))]
    height, width = target.shape[:2]
    return Row(name, *map(str, paths), width, height, {"away": float(np.abs(target - 1.0 * prediction).mean())})


def results(rows: Sequence[Row], signature: Mapping[str, str] | None = None) -> Results:
    return Results("out", "gt", fake().columns, tuple(rows), signature or {})


def noisy(root: Path, count: int, **size: int) -> Results:
    """Pairs im0, im1, …, the later the worse."""
    targets = [picture(i, **size) for i in range(count)]
    return results([row_of(root, f"im{i}", of, worse(of, 4 + 4 * i, seed=i)) for i, of in enumerate(targets)])


def opened(file: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(file))
    assert image.format == "WEBP"
    return np.asarray(image.convert("RGB"))


def levels(file: bytes) -> NDArray[np.uint8]:
    """The grey of a map, which must be grey."""
    pixels = opened(file)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def made(of: Results, *metrics: Metric, **options: object) -> Gallery:
    return gallery({"": of}, order(of), metrics or [fake()], device=CPU, **options)  # type: ignore[arg-type]


def in_page(found: Gallery) -> int:
    """The bytes of everything as base64."""
    encoded: list[bytes] = []
    for one in (*found.thumbnails.values(), *found.pictures.values()):
        encoded += [one.target, *one.predictions.values(), *([one.input] if one.input else [])]
        encoded += [file for maps in one.maps.values() for file in maps.values()]
    return sum(len(b64encode(file)) for file in encoded)


class TestOrder:
    def test_worst_first(self, tmp_path: Path) -> None:
        assert order(noisy(tmp_path, 4)) == ["im3", "im2", "im1", "im0"]

    def test_failing_images_come_before_worse_ones(self, tmp_path: Path) -> None:
        verdict = Verdict("a rule", "fail", "", 0.0, 0.0, failing=("im0", "im1", "no such image"))
        warning = replace(verdict, outcome="warn", failing=("im2",))
        passed = replace(verdict, outcome="pass", failing=("im3",))
        found = replace(noisy(tmp_path, 5), verdicts=(passed, warning, verdict))
        assert order(found) == ["im1", "im0", "im2", "im4", "im3"]

    def test_a_group_that_fails_means_its_images(self, tmp_path: Path) -> None:
        verdict = Verdict("a rule", "fail", "", 0.0, 0.0, unit="digit", failing=("1", "0"))
        found = replace(noisy(tmp_path, 4), verdicts=(verdict,), grouping=Grouping(r"im(?P<digit>\d)"))
        assert order(found) == ["im1", "im0", "im3", "im2"]

    def test_images_without_scores_are_left_out(self) -> None:
        assert order(results([Row("a", status="error"), Row("b", scores={"other": 1.0})])) == ["b"]


class TestBudget:
    @pytest.mark.parametrize("kilobytes", [0, 1, 20, 60, 120, 100_000])
    def test_is_respected_from_the_first_name_on(self, tmp_path: Path, kilobytes: int) -> None:
        run = noisy(tmp_path, 12, height=90, width=100)
        found = made(run, budget_bytes=1024 * kilobytes)
        assert in_page(found) <= 1024 * kilobytes
        shown = [*found.pictures, *found.thumbnails]
        assert shown == order(run)[: len(shown)]
        assert len(found.pictures) == (12 if kilobytes == 100_000 else len(found.pictures))

    def test_is_spent(self, tmp_path: Path) -> None:
        """All but one picture of its share, and all but one thumbnail of the rest."""
        run, budget = noisy(tmp_path, 12, height=90, width=100), 120 * 1024
        found = made(run, budget_bytes=budget)
        assert 2 <= len(found.pictures) <= 10
        large = in_page(replace(found, thumbnails={}))
        assert budget * 0.8 - 1.6 * large / len(found.pictures) < large <= budget * 0.8
        assert len(found.pictures) + len(found.thumbnails) == 12 or in_page(found) > 0.8 * budget

    def test_thumbnails_have_what_pictures_leave(self, tmp_path: Path) -> None:
        found = made(noisy(tmp_path, 12, height=200, width=220), budget_bytes=120 * 1024)
        assert found.thumbnails
        for small in found.thumbnails.values():
            assert small == Picture(small.target, {"": small.predictions[""]})
            assert opened(small.target).shape == opened(small.predictions[""]).shape == (96, 106, 3)

    def test_a_run_may_be_called_target(self, tmp_path: Path) -> None:
        flat = np.full((40, 40, 3), 10, np.uint8)
        runs = {
            label: results([row_of(tmp_path, "a", flat, flat + level, run=label)])
            for label, level in (("target", 100), ("other", 200))
        }
        small = gallery(runs, ["a"], [fake()], device=CPU, budget_bytes=600).thumbnails["a"]
        means = [opened(file).mean() for file in (small.target, *small.predictions.values())]
        assert means == pytest.approx([10, 110, 210], abs=2)
        assert list(small.predictions) == ["target", "other"]

    def test_memory_of_waiting_maps_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """2 bytes a place: room for three maps of 40 × 48 and not for four."""
        monkeypatch.setattr(shelf, "MAPS_BYTES", 4 * 2 * 40 * 48 - 1)
        found = made(noisy(tmp_path, 6))
        assert list(found.pictures) == ["im5", "im4", "im3"]
        assert list(found.thumbnails) == ["im2", "im1", "im0"]

    def test_a_map_holds_two_bytes_a_place_of_its_small_size(self, tmp_path: Path) -> None:
        run = noisy(tmp_path, 1, height=30, width=800)
        album, errors = Album({"": run}, 1), Errors([fake()], CPU)
        with threads(1, CPU) as pool:
            (entry,) = shelf._shelf(album, ["im0"], errors, 1e9, pool, Once(print), print)
        assert entry.held == 2 * 384 * 14

    def test_dropped_pictures_do_not_count_for_the_scale(self, tmp_path: Path) -> None:
        """The second image, which has the large error, does not fit: the scale is that of the first alone."""
        flat, noise = np.full((64, 64, 3), 100, np.uint8), np.random.default_rng(0).integers(0, 256, (64, 64, 3))
        rows = [row_of(tmp_path, "a", flat, flat + 10), row_of(tmp_path, "b", flat, noise.astype(np.uint8))]
        found = gallery({"": results(rows)}, ["a", "b"], [fake()], device=CPU, budget_bytes=3000)
        assert list(found.pictures) == ["a"]
        assert found.scales == {"away": (0.0, 0.05)}
        assert (levels(found.pictures["a"].maps[""]["away"]) == round(255 * 10 / 255 / 0.05)).all()


class TestPictures:
    @pytest.mark.parametrize(
        ("height", "width", "large", "map_size", "small"),
        [
            (1, 1, (1, 1), (1, 1), (1, 1)),
            (1, 7, (1, 7), (1, 7), (1, 7)),
            (9, 1, (9, 1), (9, 1), (9, 1)),
            (5, 3, (5, 3), (5, 3), (5, 3)),
            (1, 1001, (1, 768), (1, 384), (1, 288)),
            (800, 3, (768, 3), (384, 1), (96, 1)),
            (385, 501, (385, 501), (295, 384), (96, 125)),
        ],
    )
    def test_sizes(
        self,
        tmp_path: Path,
        height: int,
        width: int,
        large: tuple[int, int],
        map_size: tuple[int, int],
        small: tuple[int, int],
    ) -> None:
        run = noisy(tmp_path, 1, height=height, width=width)
        run = replace(run, rows=(replace(run.rows[0], input=run.rows[0].target),))
        found = made(run).pictures["im0"]
        assert found.input is not None
        for file in (found.target, found.predictions[""], found.input):
            assert opened(file).shape[:2] == large
        assert levels(found.maps[""]["away"]).shape == map_size
        assert fitted((height, width), shelf.THUMBNAIL) == small

    def test_show_the_images(self, tmp_path: Path) -> None:
        target = np.full((20, 30, 3), (200, 120, 40), np.uint8)
        row = row_of(tmp_path, "a", target, 255 - target)
        row = replace(row, input=str(write(tmp_path / "in.png", target // 2)))
        found = made(results([row])).pictures["a"]
        assert found.input is not None
        for file, pixels in ((found.target, target), (found.predictions[""], 255 - target), (found.input, target // 2)):
            assert np.abs(opened(file).astype(int) - pixels).max() < 8

    def test_runs_share_the_target(self, tmp_path: Path) -> None:
        target = picture(0)
        runs = {
            label: results([row_of(tmp_path, "a", target, worse(target, amount), run=label)])
            for label, amount in (("early", 40), ("late", 4))
        }
        found = gallery(runs, ["a"], [fake()], device=CPU).pictures["a"]
        assert list(found.predictions) == list(found.maps) == ["early", "late"]
        early, late = (levels(found.maps[label]["away"]).mean() for label in ("early", "late"))
        assert early > 5 * late > 0

    def test_another_target_is_said(self, tmp_path: Path) -> None:
        target = picture(0)
        first = results([row_of(tmp_path / "1", "a", target, worse(target, 4))])
        second = results([row_of(tmp_path / "2", "a", picture(1), worse(target, 4))])
        told: list[str] = []
        found = gallery({"one": first, "two": second}, ["a"], [fake()], device=CPU, tell=told.append)
        assert list(found.pictures["a"].predictions) == ["one"]
        assert told == [f"a is not shown: {tmp_path}/2/gt/a.png: not the target that the other runs have."]

    def test_an_image_that_one_run_lacks_is_shown_of_the_other(self, tmp_path: Path) -> None:
        target = picture(0)
        runs = {"one": results([row_of(tmp_path, "a", target, worse(target, 4))]), "two": results([])}
        assert list(gallery(runs, ["a"], [fake()], device=CPU).pictures["a"].predictions) == ["one"]

    def test_alpha_is_read_as_it_was_scored(self, tmp_path: Path) -> None:
        clear = np.zeros((40, 40, 4), np.uint8)
        clear[..., 0] = 255
        for side in ("out", "gt"):
            write(tmp_path / side / "a.png", clear)
        run = evaluate(
            tmp_path / "out",
            tmp_path / "gt",
            metrics="psnr",
            readings=Readings.of_all(Reading(alpha="white")),
            device="cpu",
        )
        assert opened(made(run).pictures["a"].target).min() == 255
        told: list[str] = []
        assert not made(replace(run, signature={}), tell=told.append).pictures
        assert "has transparency" in told[0]


class TestWhatIsGone:
    def test_a_deleted_file_costs_its_image(self, tmp_path: Path) -> None:
        run, told = noisy(tmp_path, 3), []
        Path(run.rows[1].prediction).unlink()
        found = made(run, tell=told.append)
        assert list(found.pictures) == ["im2", "im0"]
        assert not found.thumbnails
        assert told == [f"im1 is not shown: {tmp_path}/out/im1.png: no such file."]

    def test_a_file_of_another_size_too(self, tmp_path: Path) -> None:
        run, told = noisy(tmp_path, 2), []
        for side in ("out", "gt"):
            write(tmp_path / side / "im1.png", picture(0, height=8, width=9))
        write(tmp_path / "out" / "im0.png", picture(0, height=8, width=9))
        assert not made(run, tell=told.append).pictures
        assert "im1.png is 9x8 now, but was 48x40 when it was scored" in told[0]
        assert "must have one size" in told[1]

    def test_pixels_that_are_not_those_that_were_scored_are_not_shown(self, tmp_path: Path) -> None:
        run, told = noisy(tmp_path, 2), []
        psnrs = [psnr(*(read(Path(path)).pixels[None] for path in (row.prediction, row.target))) for row in run.rows]
        scores = [{**row.scores, "psnr": found.item()} for row, found in zip(run.rows, psnrs, strict=True)]
        run = replace(run, rows=tuple(replace(row, scores=of) for row, of in zip(run.rows, scores, strict=True)))
        assert sorted(made(run).pictures) == ["im0", "im1"]
        shutil.copy(run.rows[1].target, run.rows[1].prediction)
        assert list(made(run, tell=told.append).pictures) == ["im0"]
        assert f"im1.png or its target is not what was scored (psnr inf, then {scores[1]['psnr']:.4f})" in told[0]

    def test_an_address_that_cannot_be_read(self, tmp_path: Path) -> None:
        whole = noisy(tmp_path, 3)
        words = ("memory://nowhere/a.png", "s3://user:secret@host/a.png")
        rows = [replace(row, prediction=word) for row, word in zip(whole.rows, words, strict=False)]
        told: list[str] = []
        found = made(replace(whole, rows=(*rows, *whole.rows[2:])), fake(), tell=told.append)
        assert list(found.pictures) == [whole.rows[2].name]
        said = "; ".join(told)
        assert "memory://nowhere/a.png: no such file" in said
        assert "holds a password" in said
        assert "secret" not in said

    def test_an_input_costs_only_itself(self, tmp_path: Path) -> None:
        run, told = noisy(tmp_path, 1), []
        run = replace(run, rows=(replace(run.rows[0], input=str(tmp_path / "gone.png")),))
        found = made(run, tell=told.append)
        assert found.pictures["im0"].input is None
        assert len(told) == 1
        assert "the input of im0 is not shown" in told[0]

    def test_names_without_a_pair_are_said(self, tmp_path: Path) -> None:
        told: list[str] = []
        gallery({"": noisy(tmp_path, 1)}, ["im0", "what"], [fake()], device=CPU, tell=told.append)
        assert told == ["what is not shown: it has no prediction and target"]

    def test_short_memory_costs_the_maps(self, tmp_path: Path) -> None:
        def greedy(batch: Batch) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

        told: list[str] = []
        found = made(noisy(tmp_path, 1), fake(), fake(greedy, name="large"), tell=told.append)
        assert list(found.pictures["im0"].maps[""]) == ["away"]
        assert told == ["not all maps of im0 are shown: they do not fit the memory of the device"]

    def test_a_bug_is_not_taken_for_it(self, tmp_path: Path) -> None:
        def broken(batch: Batch) -> Tensor:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            made(noisy(tmp_path, 1), fake(broken))


class TestPlaces:
    @pytest.mark.parametrize("edge", [0, 1, 24, 47])
    def test_an_edge_stays_at_its_pixel(self, tmp_path: Path, edge: int) -> None:
        target = np.full((5, 48, 3), 50, np.uint8)
        prediction = target.copy()
        prediction[2:, edge:] += 51
        found = levels(made(results([row_of(tmp_path, "a", target, prediction)])).pictures["a"].maps[""]["away"])
        assert found.tolist() == [[0] * 48] * 2 + [[0] * edge + [255] * (48 - edge)] * 3

    def test_and_at_its_half_in_a_map_of_half_the_size(self, tmp_path: Path) -> None:
        """768 wide: 100 pixels from the left and 301 from the top are 50 and 150.5; the row between is the mean."""
        target = np.full((400, 768, 3), 50, np.uint8)
        prediction = target.copy()
        prediction[301:, 100:] += 51
        found = levels(made(results([row_of(tmp_path, "a", target, prediction)])).pictures["a"].maps[""]["away"])
        assert found.shape == (200, 384)
        assert (found[:150] == 0).all()
        assert (found[:, :50] == 0).all()
        assert set(found[150, 50:]) <= {127, 128}
        assert (found[151:, 50:] == 255).all()

    @pytest.mark.parametrize("origin", [-2, 0, 3])
    @pytest.mark.parametrize("halvings", [0, 1, 2])
    @pytest.mark.parametrize("size", [(8, 12), (9, 7), (1, 5)])
    def test_each_pixel_has_the_value_of_its_place(self, halvings: int, origin: int, size: tuple[int, int]) -> None:
        """As `Map` defines it: pixel by pixel."""
        places = [max(1, (side >> halvings) - 2 * origin) for side in size]
        values = torch.arange(1, 1 + places[0] * places[1], dtype=torch.float32).reshape(places)
        found = at_pixels(values, Map(values[None], halvings=halvings, origin=origin), size)
        for y in range(size[0]):
            for x in range(size[1]):
                i, j = y // 2**halvings - origin, x // 2**halvings - origin
                if 0 <= i < places[0] and 0 <= j < places[1]:
                    assert found[y, x] == values[i, j]
                else:
                    assert found[y, x].isnan()

    @pytest.mark.parametrize(
        ("size", "to"), [((6, 8), (3, 4)), ((7, 5), (3, 2)), ((5, 1), (2, 1)), ((3, 11), (3, 4)), ((4, 4), (4, 4))]
    )
    def test_smaller_is_the_mean_over_the_area(self, size: tuple[int, int], to: tuple[int, int]) -> None:
        """Against the definition, in fractions; one place in seven has no value."""
        pixels = torch.rand(size, generator=torch.Generator().manual_seed(1))
        pixels.view(-1)[3::7] = torch.nan
        found = shrunk(pixels, to)
        for i in range(to[0]):
            for j in range(to[1]):
                assert found[i, j].item() == pytest.approx(mean_over(pixels, i, j, to), rel=1e-5, nan_ok=True)

    def test_where_no_place_is_there_is_no_error(self, tmp_path: Path) -> None:
        """One place from the border, of 2 × 2 pixels; the last row and column of odd sizes have none either."""
        metric = fake(lambda batch: torch.ones(1, 2, 3), halvings=1, origin=1)
        found = made(noisy(tmp_path, 1, height=9, width=11), metric)
        expected = np.zeros((9, 11), int)
        expected[2:6, 2:8] = 255
        assert levels(found.pictures["im0"].maps[""]["away"]).tolist() == expected.tolist()
        assert found.meanings == {"away": "how far; a value for 2×2 pixels; none within 2 pixels of the border"}

    def test_what_is_outside_of_a_mask_is_no_error(self, tmp_path: Path) -> None:
        """Nor does it count for the scale: inside the error is 0.2, outside 0.8."""
        target = np.full((20, 20, 3), 51, np.uint8)
        prediction, mask = target + np.uint8(204), np.zeros((20, 20), np.uint8)
        prediction[:1, :10] = 102
        mask[:1, :10] = 255
        row = replace(row_of(tmp_path, "a", target, prediction), mask=str(write(tmp_path / "mask.png", mask)))
        found = made(results([row]))
        assert found.scales == {"away": (0.0, 0.2)}
        assert levels(found.pictures["a"].maps[""]["away"]).tolist() == mask.tolist()


def mean_over(pixels: Tensor, i: int, j: int, to: tuple[int, int]) -> float:
    total = area = Fraction(0)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            part = overlap(y, i, pixels.shape[0], to[0]) * overlap(x, j, pixels.shape[1], to[1])
            if not pixels[y, x].isnan():
                total += part * Fraction(pixels[y, x].item())
                area += part
    return float(total / area) if area else float("nan")


def overlap(pixel: int, part: int, pixels: int, parts: int) -> Fraction:
    first, last = Fraction(part * pixels, parts), Fraction((part + 1) * pixels, parts)
    return max(Fraction(0), min(last, Fraction(pixel + 1)) - max(first, Fraction(pixel)))


class TestScales:
    def test_is_one_for_all_images_and_runs_and_values_read_back(self, tmp_path: Path) -> None:
        """Within half a grey level, and what float16 rounds: a sixteenth."""
        targets = [picture(i) for i in range(3)]
        runs = {
            label: results(
                [row_of(tmp_path, f"im{i}", t, worse(t, a + 9 * i), run=label) for i, t in enumerate(targets)]
            )
            for label, a in (("one", 10), ("two", 30))
        }
        outliers = np.array(Image.open(runs["one"].rows[0].prediction))
        outliers[0, :5] = 255 * (outliers[0, :5] < 128)
        write(Path(runs["one"].rows[0].prediction), outliers)
        found = gallery(runs, ["im2", "im1", "im0"], [fake()], device=CPU)
        errors = {(label, row.name): error_of(row) for label, run in runs.items() for row in run.rows}
        (low, high) = found.scales["away"]
        most = np.quantile([error.ravel() for error in errors.values()], 0.995)
        assert (low, high) == (0.0, next(step for step in (0.1, 0.2, 0.5, 1.0) if step >= most))
        assert max(error.max() for error in errors.values()) > high  # some are clipped
        for (label, name), error in errors.items():
            read = levels(found.pictures[name].maps[label]["away"]) / 255 * high
            assert np.abs(read - error.clip(0, high)).max() <= 0.5625 * high / 255

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (1e-4, 1e-4),
            (1.1e-4, 2e-4),
            (0.049, 0.05),
            (0.05, 0.05),
            (0.051, 0.1),
            (float(np.float16(0.02)), 0.02),  # which is 0.020004
            (0.2, 0.2),
            (0.6, 1.0),
            (1.0, 1.0),
            (1.3, 2.0),
            (9.0, 10.0),
            (501.0, 1000.0),
            (65504.0, 100000.0),
        ],
    )
    def test_ends_at_a_round_number(self, value: float, expected: float) -> None:
        assert rounded_up(value) == expected

    def test_an_image_with_more_error_changes_the_maps_before_it(self, tmp_path: Path) -> None:
        flat = np.full((10, 10, 3), 51, np.uint8)
        run = results([row_of(tmp_path, "a", flat, flat + 51), row_of(tmp_path, "b", flat, flat + 204)])
        found = gallery({"": run}, ["a", "b"], [fake()], device=CPU)
        assert found.scales == {"away": (0.0, 1.0)}
        assert [levels(found.pictures[name].maps[""]["away"]).max() for name in "ab"] == [51, 204]

    def test_equal_images_are_black(self, tmp_path: Path) -> None:
        found = made(results([row_of(tmp_path, "a", picture(0), picture(0))]))
        assert found.scales == {"away": (0.0, 1e-4)}
        assert not levels(found.pictures["a"].maps[""]["away"]).any()

    def test_more_is_worse_whichever_way_is_up(self, tmp_path: Path) -> None:
        target = np.full((10, 10, 3), 51, np.uint8)
        run = results([row_of(tmp_path, "a", target, target + 51)])
        alike = fake(lambda batch: 1 - difference(batch), "alike", better="higher", identical=1.0)
        found = made(run, fake(lambda batch: difference(batch) + 0.5, identical=0.5), alike)
        for name in ("away", "alike"):
            assert (levels(found.pictures["a"].maps[""][name]) == 255).all()
            assert found.scales[name] == (0.0, 0.2)
        assert found.meanings == {"away": "how far, less 0.5", "alike": "1 − how far"}

    def test_better_than_identical_is_no_error(self, tmp_path: Path) -> None:
        """As SSIM may come to 1.0000001 by rounding; and what overflowed has no value."""

        def odd(batch: Batch) -> Tensor:
            return torch.tensor([[[-1e-7, torch.nan, torch.inf, 0.1]]])

        found = made(noisy(tmp_path, 1, height=1, width=4), fake(odd))
        assert levels(found.pictures["im0"].maps[""]["away"]).tolist() == [[0, 0, 167, 0]]  # 65504 of 100000


def error_of(row: Row) -> Floats:
    prediction, target = (np.asarray(Image.open(path), float) for path in (row.prediction, row.target))
    return np.asarray(np.abs(prediction - target).mean(axis=2) / 255)


class TestRealMetrics:
    @pytest.fixture
    def metrics(self, vgg19_checkpoint: Path) -> list[Metric]:
        weights = find(vgg19_checkpoint, offline=True)
        return build(METRICS, Settings(vgg19_weights=weights, align="gain", regions=True), CPU)

    NAMES = (
        *("charbonnier", "wssim_full", "wssim_hl1", "wssim_lh1", "wssim_hh1", "wssim_hl2", "wssim_lh2", "wssim_hh2"),
        *("wssim_ll2", "vgg19_relu1_1", "vgg19_relu2_1", "vgg19_relu3_1", "ssim", "lpips"),
    )

    def test_show_where_the_error_is(self, tmp_path: Path, metrics: list[Metric]) -> None:
        target = picture(0, height=96, width=128)
        prediction = target.copy()
        prediction[30:50, 80:110] = worse(target, 90)[30:50, 80:110]
        found = made(results([row_of(tmp_path, "a", target, prediction)]), *metrics)
        maps = found.pictures["a"].maps[""]
        assert tuple(maps) == tuple(found.scales) == tuple(found.meanings) == self.NAMES
        for name, file in maps.items():
            level = levels(file).astype(float)
            assert level.shape == (96, 128)
            assert level[30:50, 80:110].mean() > 10 * np.delete(level, np.s_[72:118], axis=1).mean(), name

    def test_equal_images_are_black(self, tmp_path: Path, metrics: list[Metric]) -> None:
        found = made(results([row_of(tmp_path, "a", *[picture(3, height=64, width=64)] * 2)]), *metrics)
        for name, file in found.pictures["a"].maps[""].items():
            assert not levels(file).any(), name

    def test_small_images_have_the_maps_that_are_defined(self, tmp_path: Path, metrics: list[Metric]) -> None:
        found = made(noisy(tmp_path, 1, height=1, width=5), *metrics)
        assert list(found.pictures["im0"].maps[""]) == ["charbonnier"]

    def test_squares_are_shown_where_charbonnier_is_not(self, tmp_path: Path) -> None:
        found = made(noisy(tmp_path, 1), *build(["psnr"], Settings(), CPU))
        assert found.meanings == {"mse": "squared difference, mean over the channels"}

    def test_other_wavelets_lie_right(self, tmp_path: Path) -> None:
        """To a place of level 2. (This one is symmetric; db4 itself sees an error up to 7 pixels aside.)"""
        target = np.full((64, 96, 3), 100, np.uint8)
        prediction = target.copy()
        prediction[24:40, 56:72] = worse(target, 60)[24:40, 56:72]
        found = made(
            results([row_of(tmp_path, "a", target, prediction)]), *build(["wssim"], Settings(wavelet="bior4.4"), CPU)
        )
        for name, file in found.pictures["a"].maps[""].items():
            where = np.argwhere(levels(file) > 128)
            assert np.abs(where.mean(axis=0) - (31.5, 63.5)).max() < 4, name


class TestWriteMaps:
    def test_files(self, tmp_path: Path) -> None:
        target = picture(0)
        rows = [row_of(tmp_path, name, target, worse(target, 20)) for name in ("a", "night/b", "c d.e")]
        written = write_maps({"": results(rows)}, ["a", "night/b", "c d.e"], [fake()], tmp_path / "maps", device=CPU)
        names = ["a/away.png", "night/b/away.png", "c d.e/away.png", "scales.json"]
        assert written == [tmp_path / "maps" / name for name in names]
        assert sorted(path for path in (tmp_path / "maps").rglob("*") if path.is_file()) == sorted(written)
        scales = json.loads(written[-1].read_text(encoding="utf-8"))
        assert scales == {"away": {"low": 0.0, "high": scales["away"]["high"], "meaning": "how far"}}
        for row, path in zip(rows, written, strict=False):
            image = Image.open(path)
            assert (image.format, image.mode, image.size) == ("PNG", "P", (48, 40))
            level = np.asarray(image)
            assert np.array_equal(np.asarray(image.convert("RGB")), COLOURS[level])
            high = scales["away"]["high"]
            assert np.abs(level / 255 * high - error_of(row).clip(0, high)).max() <= 0.5625 * high / 255

    def test_runs_have_folders(self, tmp_path: Path) -> None:
        target = picture(0)
        runs = {
            label: results([row_of(tmp_path, "a", target, worse(target, 9 * len(label)), run=label)])
            for label in ("one", "three")
        }
        written = write_maps(runs, ["a"], [fake()], tmp_path / "m", device=CPU)
        assert [str(path.relative_to(tmp_path / "m")) for path in written] == [
            *("one/a/away.png", "three/a/away.png", "scales.json")
        ]

    def test_maps_are_as_large_as_the_image(self, tmp_path: Path) -> None:
        run = noisy(tmp_path, 1, height=3, width=800)
        written = write_maps({"": run}, ["im0"], [fake(), fake(lambda b: torch.ones(1, 1, 400), "low", halvings=1)],
                             tmp_path / "m", device=CPU)  # fmt: skip
        assert [np.asarray(Image.open(path)).shape for path in written[:2]] == [(3, 800)] * 2
        assert np.asarray(Image.open(written[1])).tolist() == [[255] * 800] * 2 + [[0] * 800]

    @pytest.mark.parametrize(
        "name",
        [
            "../../x",
            "/etc/x",
            "a/../../x",
            "..",
            ".",
            "a//b",
            "what?",
            "a\\b",
            "c:",
            "x.",
            "con",
            "a/NUL.txt",
            "a\nb",
            "scales.json",
            "a/ssim.png",
            "n" * 250,
            "é" * 150,
            "bad \udcff bytes",
            "",
            "x /y",
        ],
    )
    def test_hard_names_stay_inside_and_apart(self, name: str) -> None:
        (place,) = files._places([name]).values()
        if name:
            assert place.endswith(f"~{files._hash(name)}")
        assert not place.startswith("/")
        for part in place.split("/"):
            assert part not in (".", "..")
            assert len(part.encode()) <= 200
            assert not set(part) & set('<>:"\\|?*\n')
            assert not part.endswith((".", " ", ".png", ".json"))

    def test_plain_names_are_kept(self) -> None:
        names = ["a", "night/b.01", "c d", "été", ".x", "a/ssim", "console"]
        assert files._places(names) == {name: name for name in names}

    def test_names_that_differ_by_what_is_replaced_or_case_stay_apart(self) -> None:
        names = ["a?", "a*", "a_", "Abc", "abc", "e\u0301", "\u00e9", "n" * 250, "n" * 251]
        places = files._places(names)
        assert len({files._alike(place) for place in places.values()}) == len(names)

    def test_a_gone_file_is_said_once(self, tmp_path: Path) -> None:
        run, told = noisy(tmp_path, 2), []
        Path(run.rows[1].target).unlink()
        written = write_maps({"": run}, order(run), [fake()], tmp_path / "m", device=CPU, tell=told.append)
        assert [path.name for path in written] == ["away.png", "scales.json"]
        assert told == [f"im1 is not shown: {tmp_path}/gt/im1.png: no such file."]

    def test_at_an_address_they_are_the_same(self, tmp_path: Path) -> None:
        run, there = noisy(tmp_path, 3), place(f"memory://{uuid.uuid4()}/maps")
        here = write_maps({"": run}, order(run), [fake()], tmp_path / "maps", device=CPU)
        far = write_maps({"": run}, order(run), [fake()], there, device=CPU)
        assert [str(path).removeprefix(f"{there}/") for path in far] == [
            str(path.relative_to(tmp_path / "maps"))
            for path in here  # type: ignore[arg-type]
        ]
        assert [content(path) for path in far] == [content(path) for path in here]

    def test_an_address_that_takes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: object) -> None:
            raise PermissionError("Access Denied (HTTP status 403)")

        monkeypatch.setattr(files, "write_at", refused)
        run = noisy(tmp_path, 1)
        with pytest.raises(ReportError, match=r"^cannot write memory://maps/.*\.png: Access Denied"):
            write_maps({"": run}, order(run), [fake()], place("memory://maps"), device=CPU)

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_text("a file")
        with pytest.raises(ReportError, match=rf"cannot write {tmp_path}/m/im0/away.png: "):
            write_maps({"": noisy(tmp_path, 1)}, ["im0"], [fake()], tmp_path / "m", device=CPU)


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    run, seen = noisy(tmp_path, 3), []
    made(run, progress=lambda *what: seen.append(what))
    assert seen == [("pictures", done, 3) for done in (0, 1, 2, 3)]
    seen.clear()
    made(run, progress=lambda *what: seen.append(what), budget_bytes=12_000)  # which makes thumbnails of the last
    assert seen[-1] == ("pictures", 3, 3)
    assert {total for _, _, total in seen} == {3}
    seen.clear()
    write_maps({"": run}, order(run), [fake()], tmp_path / "m", device=CPU, progress=lambda *what: seen.append(what))
    assert seen == [("maps", done, 6) for done in range(1, 7)]


def test_computes_with_one_thread_of_torch_and_gives_the_others_back(tmp_path: Path) -> None:
    seen: list[int] = []

    def counting(batch: Batch) -> Tensor:
        seen.append(torch.get_num_threads())
        return difference(batch)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        made(noisy(tmp_path, 1), fake(counting))
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
