"""How much a score moves when nothing changed: measured by hand, written and read back, and files that are damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from relight_eval.errors import ResultsError
from relight_eval.noise import ColumnNoise, Noise, file_beside, load, measured, render
from relight_eval.results import Results, Row
from tests.runs import run


def scored(**scores: dict[str, float]) -> Results:
    """A run of these images: name -> column -> score."""
    return run(tuple(Row(name, scores=of_image) for name, of_image in scores.items()))


def test_by_hand() -> None:
    """The largest difference of one image between two of three runs, which is not that of the means."""
    found = measured(
        {
            "cpu": scored(a={"ssim": 0.5, "psnr": 20.0}, b={"ssim": 0.25, "psnr": 30.0}),
            "batches of 3": scored(a={"ssim": 0.5, "psnr": 20.0}, b={"ssim": 0.375, "psnr": 30.0}),
            "cuda": scored(a={"ssim": 0.5625, "psnr": 20.0}, b={"ssim": 0.1875, "psnr": 30.0}),
        }
    )
    assert found.columns == {
        "ssim": ColumnNoise(0.1875, "b", lowest="cuda", highest="batches of 3"),
        "psnr": ColumnNoise(0.0, "a", lowest="cpu", highest="cpu"),
    }
    assert found.margins == {"ssim": 0.1875, "psnr": 0.0}
    assert (found.runs, found.images) == (("cpu", "batches of 3", "cuda"), 2)


@pytest.mark.parametrize(
    ("one", "two", "noise"),
    [
        pytest.param([20.0, math.inf], [20.5, math.inf], 0.5, id="identical-in-both"),
        pytest.param([20.0, math.inf], [20.5, 80.0], 0.5, id="identical-in-one"),
        pytest.param([20.0, 30.0], [20.5, None], 0.5, id="missing-in-the-second"),
        pytest.param([20.0, None], [20.5, 30.0], 0.5, id="missing-in-the-first"),
        pytest.param([None, math.inf], [20.5, math.inf], None, id="none-in-both"),
        pytest.param([None, None], [20.5, 30.0], None, id="none"),
    ],
)
def test_only_images_with_a_finite_score_in_all_runs_count(
    one: list[float | None], two: list[float | None], noise: float | None
) -> None:
    runs = {
        label: scored(**{f"im{i}": {} if score is None else {"psnr": score} for i, score in enumerate(scores)})
        for label, scores in (("one", one), ("two", two))
    }
    assert measured(runs).margins == ({} if noise is None else {"psnr": noise})


def test_an_image_that_a_run_has_not_does_not_count() -> None:
    assert measured({"one": scored(a={"ssim": 0.5}, b={"ssim": 0.5}), "two": scored(a={"ssim": 0.75})}).margins == {
        "ssim": 0.25
    }


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(
            Noise({"ssim": ColumnNoise(1 / 3, "bä", "cpu", "cuda"), "psnr": ColumnNoise(0.0)}, ("cpu", "cuda"), 7),
            id="usual",
        ),
        pytest.param(Noise({}, (), 0), id="empty"),
        pytest.param(Noise({"lpips": ColumnNoise(5e-324, 'x"\n\x1b')}, ("a",), 1), id="odd"),
    ],
)
def test_what_is_written_is_read_back(noise: Noise, tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    path.write_text(render(noise), encoding="utf-8")
    assert load(path) == noise


@pytest.mark.parametrize(
    ("baseline", "beside"),
    [
        ("main.json", "main.noise.json"),
        ("ci/main.csv", "ci/main.noise.json"),
        ("v1.2.json", "v1.2.noise.json"),
        ("main", "main.noise.json"),
    ],
)
def test_file_beside(baseline: str, beside: str) -> None:
    assert file_beside(Path(baseline)) == Path(beside)


GOOD = json.loads(render(Noise({"ssim": ColumnNoise(0.5, "a", "cpu", "cuda")}, ("cpu", "cuda"), 3)))


def with_noise(value: object) -> str:
    return json.dumps(GOOD | {"columns": {"ssim": {"noise": value}}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", r"Expecting value", id="empty"),
        pytest.param(render(Noise({}, ("cpu",), 1))[:-5], r"delimiter|Expecting", id="cut"),
        pytest.param("[]", r"", id="list"),
        pytest.param("null", r"", id="null"),
        pytest.param("7", r"", id="number"),
        pytest.param('"noise"', r"", id="text"),
        pytest.param("[" * 100_000, r"recursion", id="deep"),
        pytest.param('{"format": 1, "pairs": []}', r"no 'kind'", id="results-of-a-run"),
        pytest.param(json.dumps(GOOD | {"kind": "comparison"}), r"kind 'comparison', format 1", id="another-kind"),
        pytest.param(json.dumps(GOOD | {"format": 2}), r"kind 'noise', format 2", id="another-format"),
        pytest.param(
            json.dumps({k: v for k, v in GOOD.items() if k != "columns"}), r"no 'columns'", id="without-columns"
        ),
        pytest.param(json.dumps({k: v for k, v in GOOD.items() if k != "runs"}), r"no 'runs'", id="without-runs"),
        pytest.param(json.dumps({k: v for k, v in GOOD.items() if k != "images"}), r"no 'images'", id="without-images"),
        pytest.param(json.dumps(GOOD | {"columns": []}), r"", id="columns-in-a-list"),
        pytest.param(json.dumps(GOOD | {"columns": {"ssim": 0.5}}), r"", id="column-that-is-a-number"),
        pytest.param(json.dumps(GOOD | {"columns": {"ssim": {}}}), r"'noise'", id="column-without-noise"),
        pytest.param(json.dumps(GOOD | {"columns": {"ssim": {"noise": 0.5, "nose": 1}}}), r"'nose'", id="unknown-key"),
        pytest.param(with_noise("0.5"), r"ssim has the noise '0.5'", id="noise-as-text"),
        pytest.param(with_noise(True), r"ssim has the noise True", id="noise-true"),
        pytest.param(with_noise(None), r"ssim has the noise None", id="noise-null"),
        pytest.param(with_noise(-1e-9), r"ssim has the noise -1e-09", id="noise-below-0"),
        pytest.param(with_noise(math.nan), r"ssim has the noise nan", id="noise-nan"),
        pytest.param(with_noise(math.inf), r"ssim has the noise inf", id="noise-inf"),
        pytest.param(with_noise(10**400), r"ssim has the noise 1000", id="noise-beyond-a-float"),
        pytest.param(json.dumps(GOOD | {"images": "many"}), r"'many'", id="images-as-text"),
        pytest.param(json.dumps(GOOD | {"images": math.inf}), r"infinity", id="images-infinite"),
        pytest.param(json.dumps(GOOD | {"runs": 3}), r"int", id="runs-as-a-number"),
        pytest.param("\ufeff" + json.dumps(GOOD), r"BOM", id="byte-order-mark"),
    ],
)
def test_damage_is_one_clear_error(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "main.noise.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        ResultsError, match=rf"main\.noise\.json: is not what `relight-eval calibrate` .*{said}"
    ) as error:
        load(path)
    assert len(str(error.value)) < len(str(path)) + 250
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    path.write_bytes(b'{"kind": "\xff"}')
    with pytest.raises(ResultsError, match=r"n\.json: is not what `relight-eval calibrate` writes"):
        load(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.json")
    with pytest.raises(ResultsError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)
