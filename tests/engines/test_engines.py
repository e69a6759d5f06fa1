"""The contract of engines: one test class, every engine of the table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relight_eval.decoding import Reading, Readings
from relight_eval.engines import FLOORS, Engine, Options, local
from relight_eval.metrics import METRICS, Settings, build, pieces
from relight_eval.pairs import Pair, find
from relight_eval.results import Row
from relight_eval.weights import VGG19Weights, load
from tests.folders import picture, runs_of, two_folders, worse, write

ALL = tuple(METRICS)


Score = Callable[..., Iterator[Row]]


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Score:
    """That of Ray has two nodes of one CPU each."""
    opened: Engine = local.Local() if request.param == "local" else request.getfixturevalue("ray_engine")
    return opened.score


@pytest.fixture(scope="module")
def settings(vgg19_checkpoint: Path) -> Settings:
    return Settings(vgg19_weights=load(vgg19_checkpoint))


PIECE = 64 * 64


@pytest.fixture(scope="module", autouse=True)
def small_pieces() -> Iterator[None]:
    """Metrics of this process take an image of more than 64×64 pixels in pieces, so that small images have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "resources", lambda **given: pieces.resources(**{**given, "piece_values": PIECE}))
        yield


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """14 pairs of four sizes, alternating, so that every batch is put together from afar. Three have several pieces."""
    root = tmp_path_factory.mktemp("mixed")
    for i in range(14):
        height, width = (131, 71) if i in (3, 8, 9) else ((40, 48), (33, 47), (64, 36))[i % 3]
        target = picture(i, height, width)
        write(root / "target" / f"im{i}.png", target)
        write(root / "prediction" / f"im{i}.png", worse(target, 3 + 2 * i, seed=i))
    assert 2 * PIECE < 131 * 71
    return list(find(root / "prediction", root / "target").pairs)


@pytest.fixture(scope="module")
def alone(engine: Score, mixed: list[Pair], settings: Settings) -> dict[str, Row]:
    """The rows of the pairs, each scored in a run of its own."""
    return {pair.name: rows(engine, [pair], settings, batch_size=1, workers=1)[pair.name] for pair in mixed}


def rows(engine: Score, pairs: Sequence[Pair], settings: Settings, **options: object) -> dict[str, Row]:
    found = list(engine(pairs, ALL, settings, Options(device="cpu", **options)))
    assert sorted(row.name for row in found) == sorted(pair.name for pair in pairs)  # each exactly once
    return {row.name: row for row in found}


def by_prediction(engine: Score, pairs: Sequence[Pair], settings: Settings, **options: object) -> dict[str, Row]:
    found = list(engine(pairs, ALL, settings, Options(device="cpu", **options)))
    assert sorted(row.prediction for row in found) == sorted(str(pair.prediction) for pair in pairs)
    return {row.prediction: row for row in found}


def with_everything(root: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with an input and a mask, and after each its floors."""
    found = []
    for i, pair in enumerate(pairs):
        height, width = np.asarray(Image.open(pair.target)).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[i % 3 :, : width - i % 4] = 255
        name = Path(pair.name).name
        full = replace(
            pair,
            input=write(root / "input" / f"{name}.png", picture(100 + i, height, width)),
            mask=write(root / "mask" / f"{name}.png", mask),
        )
        found += [full, *(replace(full, prediction=Path(f"\0{floor}"), floor=floor) for floor in FLOORS)]
        found.append(replace(full, prediction=full.input))
    return found


def everything(
    engine: Score, pairs: Sequence[Pair], settings: Settings, **options: object
) -> dict[tuple[str, str], Row]:
    """The rows by name and prediction, scored with all that there is."""
    full = replace(settings, input=True, align="affine", regions=True)
    found = list(engine(pairs, ALL, full, Options(device="cpu", **options)))
    keys = [(row.name, row.prediction) for row in found]
    assert sorted(keys) == sorted((pair.name, str(pair.prediction)) for pair in pairs)
    return dict(zip(keys, found, strict=True))


# Of several runs, the files that one test spoils, and what their rows say.
BAD = {"run1/im0.png": "not an image", "run2/im0.png": "20x20", "run3/im1.png": "no such file"}


class TestEngine:
    @pytest.mark.parametrize("batch_size", [1, 3, None], ids=["one", "odd", "auto"])
    @pytest.mark.parametrize("workers", [1, 2, 5])
    def test_scores_do_not_depend_on_how_the_work_is_done(
        self,
        engine: Score,
        mixed: list[Pair],
        alone: dict[str, Row],
        settings: Settings,
        batch_size: int | None,
        workers: int,
    ) -> None:
        order = mixed[::-1] if workers == 5 else mixed
        together = rows(engine, order, settings, batch_size=batch_size, workers=workers)
        for name, row in alone.items():
            assert row.status == "ok"
            every = {column.name for metric in ALL for column in METRICS[metric].columns(settings)}
            optional = {
                column.name for metric in ALL for column in METRICS[metric].columns(settings) if column.optional
            }
            assert every - optional <= row.scores.keys() <= every
            # (the convolutions of LPIPS are another program for another number of images or threads)
            for column, score in row.scores.items():
                wrong = 1e-6 if column in ("lpips", "mps") else 1e-12
                assert together[name].scores[column] == pytest.approx(score, abs=wrong, rel=0), (name, column)

    def test_input_mask_floors_alignment_and_regions_do_not_depend_on_it_either(
        self, engine: Score, mixed: list[Pair], settings: Settings, tmp_path: Path
    ) -> None:
        pairs = with_everything(tmp_path, mixed[1:5])  # one has several pieces
        alone = {key: row for pair in pairs for key, row in everything(engine, [pair], settings, batch_size=1).items()}
        assert {row.status for row in alone.values()} <= {"ok", "error"}
        for batch_size, workers in ((3, 2), (None, None)):
            together = everything(engine, pairs, settings, batch_size=batch_size, workers=workers)
            for key, row in alone.items():
                assert replace(together[key], scores={}) == replace(row, scores={})
                assert together[key].scores.keys() == row.scores.keys()
                for column, score in row.scores.items():
                    wrong = 2e-6 if column.startswith(("lpips", "mps")) else 1e-10 * max(1, abs(score))
                    assert together[key].scores[column] == pytest.approx(score, abs=wrong, rel=0), (key, column)

    def test_of_several_runs_too(self, engine: Score, settings: Settings, tmp_path: Path) -> None:
        pairs = with_everything(tmp_path, runs_of(tmp_path, 3, count=2)[::3])
        runs = [
            replace(pair, prediction=tmp_path / f"run{k}" / f"{pair.name}.png") if k else pair
            for pair in pairs
            for k in ((0, 1, 2) if not pair.floor and pair.prediction != pair.input else (0,))
        ]
        together = everything(engine, runs, settings)
        for pair in runs:
            ((key, row),) = everything(engine, [pair], settings).items()
            assert replace(together[key], scores={}) == replace(row, scores={})
            assert dict(together[key].scores) == pytest.approx(dict(row.scores), abs=2e-6, rel=1e-9)

    def test_rows_say_where_input_and_mask_are(self, engine: Score, settings: Settings, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 1)
        (pair, *_) = with_everything(tmp_path, find(prediction, target).pairs)
        (row,) = everything(engine, [pair], settings).values()
        assert (row.input, row.mask) == (str(pair.input), str(pair.mask))

    def test_a_bad_mask_costs_the_rows_of_its_target_and_a_bad_input_what_needs_it(
        self, engine: Score, settings: Settings, tmp_path: Path
    ) -> None:
        pairs = with_everything(tmp_path, runs_of(tmp_path, 1, count=4))
        (tmp_path / "mask" / "im1.png").write_bytes(b"no image")
        (tmp_path / "input" / "im2.png").unlink()
        found = everything(engine, pairs, settings)
        for (name, _), row in found.items():
            is_input = row.prediction == str(pairs[8].input)  # as a floor, and gone
            said = {"im1": str(pairs[4].mask), "im2": f"{'' if is_input else 'input: '}{pairs[8].input}"}.get(name, "")
            assert row.error.startswith(said)
            assert row.status == ("error" if said else "ok")
            assert bool(row.scores) == (name != "im1" and not is_input)
            assert ("copy_ratio" in row.scores) == (name in ("im0", "im3"))

    def test_scores_are_those_of_the_metric_on_the_images(
        self, engine: Score, mixed: list[Pair], settings: Settings
    ) -> None:
        """PSNR by NumPy from the files: the right files, decoded, scaled and paired."""
        for name, row in rows(engine, mixed, settings).items():
            prediction, target = (
                np.asarray(Image.open(path), dtype=np.float64) for path in (row.prediction, row.target)
            )
            error = np.mean((prediction - target) ** 2)
            assert row.scores["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4), name
            assert (row.height, row.width) == target.shape[:2]

    def test_one_bad_file_costs_its_own_row(self, engine: Score, tmp_path: Path, settings: Settings) -> None:
        prediction, target = two_folders(tmp_path, 5)
        (prediction / "im1.png").write_bytes(b"no image")
        (target / "im3.png").write_bytes((target / "im3.png").read_bytes()[:300])
        write(prediction / "im4.png", picture(4, 20, 20))
        found = rows(engine, find(prediction, target).pairs, settings)
        assert [name for name, row in sorted(found.items()) if row.status == "ok"] == ["im0", "im2"]
        assert "im1.png" in found["im1"].error
        assert "im3.png" in found["im3"].error
        assert "20x20" in found["im4"].error
        assert "48x40" in found["im4"].error
        assert not any(found[name].scores for name in ("im1", "im3", "im4"))

    def test_a_file_that_is_gone_when_its_turn_comes_costs_its_row(
        self, engine: Score, tmp_path: Path, settings: Settings
    ) -> None:
        prediction, target = two_folders(tmp_path, 3)
        pairs = find(prediction, target).pairs
        (target / "im1.png").unlink()
        found = rows(engine, pairs, settings)
        assert "im1.png" in found["im1"].error
        assert found["im0"].status == found["im2"].status == "ok"

    def test_a_small_pair_keeps_the_scores_that_are_defined(
        self, engine: Score, tmp_path: Path, settings: Settings
    ) -> None:
        two_folders(tmp_path, 2)
        for side, seed in (("prediction", 1), ("target", 2)):
            write(tmp_path / side / "small.png", picture(seed, 16, 16))
            write(tmp_path / side / "smaller.png", picture(seed, 3, 9))
        found = rows(engine, find(tmp_path / "prediction", tmp_path / "target").pairs, settings)
        small, smaller = found["small"], found["smaller"]
        assert small.status == smaller.status == "error"
        assert small.error == "16x16 is too small for lpips (needs 32x32), mps (needs 32x32)"
        assert {"lpips", "mps"}.isdisjoint(small.scores)
        assert {"ssim", "wssim", "vgg19", "psnr", "charbonnier"} <= set(small.scores)
        assert set(smaller.scores) == {"charbonnier", "psnr"}
        assert "wssim (needs 4x4)" in smaller.error

    def test_notes_of_both_files_reach_the_row(self, engine: Score, tmp_path: Path, settings: Settings) -> None:
        frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
        two_folders(tmp_path, 1)
        frames[0].save(tmp_path / "prediction" / "moving.gif", save_all=True, append_images=frames[1:])
        write(tmp_path / "target" / "moving.png", picture(1))
        row = rows(engine, find(tmp_path / "prediction", tmp_path / "target").pairs, settings)["moving"]
        assert row.status == "ok"
        assert "prediction: " in row.note
        assert "first of 2" in row.note

    def test_alpha_option_reaches_the_reader(self, engine: Score, tmp_path: Path, settings: Settings) -> None:
        see_through = np.dstack([picture(1), np.full((40, 48), 90, np.uint8)])
        write(tmp_path / "prediction" / "a.png", see_through)
        write(tmp_path / "target" / "a.png", picture(1))
        pairs = find(tmp_path / "prediction", tmp_path / "target").pairs
        assert rows(engine, pairs, settings)["a"].status == "error"
        assert rows(engine, pairs, settings, readings=Readings.of_all(Reading(alpha="drop")))["a"].scores[
            "charbonnier"
        ] == pytest.approx(1e-3)
        assert (
            rows(engine, pairs, settings, readings=Readings.of_all(Reading(alpha="black")))["a"].scores["charbonnier"]
            > 0.1
        )

    @pytest.mark.parametrize("batch_size", [1, 4, None], ids=["one", "four", "auto"])
    @pytest.mark.parametrize("runs", [2, 4])
    def test_pairs_of_one_target_have_the_scores_that_they_have_alone(
        self, engine: Score, tmp_path: Path, settings: Settings, runs: int, batch_size: int | None
    ) -> None:
        pairs = [*runs_of(tmp_path / "a", runs, count=3), *runs_of(tmp_path / "b", runs, count=2, height=131, width=71)]
        together = by_prediction(engine, pairs, settings, batch_size=batch_size)
        for pair in pairs:
            alone = by_prediction(engine, [pair], settings, batch_size=1)[str(pair.prediction)]
            row = together[str(pair.prediction)]
            assert replace(row, scores={}) == replace(alone, scores={})
            assert row.scores.keys() == alone.scores.keys()
            for column, score in alone.scores.items():
                wrong = 1e-6 if column in ("lpips", "mps") else 1e-12
                assert row.scores[column] == pytest.approx(score, abs=wrong, rel=0), (pair, column)

    def test_of_several_predictions_a_bad_one_costs_its_own_row(
        self, engine: Score, tmp_path: Path, settings: Settings
    ) -> None:
        pairs = runs_of(tmp_path, 4, count=3)
        whole = by_prediction(engine, pairs, settings)
        (tmp_path / "run1" / "im0.png").write_bytes(b"no image")
        write(tmp_path / "run2" / "im0.png", picture(2, 20, 20))
        (tmp_path / "run3" / "im1.png").unlink()
        found = by_prediction(engine, pairs, settings)
        bad = {str(tmp_path / name): said for name, said in BAD.items()}
        for prediction, row in found.items():
            if prediction in bad:
                assert (row.status, row.scores) == ("error", {})
                assert bad[prediction] in row.error
            else:
                assert row.scores == pytest.approx(whole[prediction].scores, abs=1e-6, rel=0)

    def test_a_bad_target_costs_the_rows_of_its_pairs(self, engine: Score, tmp_path: Path, settings: Settings) -> None:
        pairs = runs_of(tmp_path, 3, count=3)
        (tmp_path / "target" / "im1.png").write_bytes(b"no image")
        found = by_prediction(engine, pairs, settings)
        assert [found[str(pair.prediction)].status for pair in pairs] == ["ok"] * 3 + ["error"] * 3 + ["ok"] * 3
        errors = {row.error for row in found.values()} - {""}
        assert errors == {by_prediction(engine, [pairs[4]], settings)[str(pairs[4].prediction)].error}

    def test_no_pairs_give_no_rows(self, engine: Score, settings: Settings) -> None:
        assert rows(engine, [], settings) == {}

    @pytest.mark.parametrize("stop", [GeneratorExit, KeyboardInterrupt])
    def test_stopping_in_the_middle_leaves_no_thread(
        self, engine: Score, mixed: list[Pair], settings: Settings, stop: type[BaseException]
    ) -> None:
        before = threading.active_count()
        work = engine(mixed, ("psnr",), settings, Options(device="cpu", batch_size=1, workers=3))
        next(work)
        with pytest.raises(stop):
            work.throw(stop)  # type: ignore[attr-defined]
        assert threading.active_count() <= before


def test_vgg19_without_weights_is_an_error_never_random_weights() -> None:
    import torch

    from relight_eval.errors import UsageError

    with pytest.raises(UsageError, match="vgg19 needs weights"):
        build(["vgg19"], Settings(), torch.device("cpu"))


def test_settings_with_weights_can_go_to_a_worker(vgg19_checkpoint: Path) -> None:
    """Engines on other machines get names and settings, both plain values."""
    import pickle

    settings = Settings(vgg19_weights=load(vgg19_checkpoint))
    again = pickle.loads(pickle.dumps(settings)).vgg19_weights
    assert isinstance(again, VGG19Weights)
    assert again.sha256 == settings.vgg19_weights.sha256  # type: ignore[union-attr]
