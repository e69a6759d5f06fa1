"""The JSON: valid by its schema, strict, and complete."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import jsonschema
import pytest

from relight_eval.reports.json import render
from relight_eval.results import FORMAT, Results, Row
from relight_eval.statistics import summary
from tests.runs import run

SCHEMA = json.loads((files("relight_eval.reports") / "results.schema.json").read_text(encoding="utf-8"))


def strict(text: str) -> dict:
    """Parsed by the letter of JSON: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("results", [pytest.param(run(), id="all kinds of rows"), pytest.param(run(()), id="no rows")])
def test_valid_by_the_schema_in_the_package(results: Results) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(strict(render(results)), SCHEMA)


def test_contract() -> None:
    document = strict(render(run()))
    assert document["format"] == FORMAT == 1
    assert document["signature"] == {"relight-eval": "0.1.0", "charbonnier": "eps=0.001", "device": "cpu"}
    assert [column["name"] for column in document["columns"]] == ["charbonnier", "psnr", "ssim", "vgg19"]
    assert document["columns"][1]["high"] is document["columns"][1]["identical"] is None
    assert [pair["image"] for pair in document["pairs"]] == ["a", "b10", "broken", "small"]
    assert document["unpaired"] == [
        {"image": "extra", "prediction": "out/extra.png", "target": "", "status": "missing_target"},
        {"image": "gone", "prediction": "", "target": "gt/gone.png", "status": "missing_prediction"},
    ]
    assert document["verdicts"] == []
    assert document["warnings"] == ["vgg19 was left out"]


def test_pairs_say_what_the_rows_say() -> None:
    _, identical, broken, small = strict(render(run()))["pairs"]
    assert identical["scores"] == {"charbonnier": 0.001, "psnr": None, "ssim": 1.0}
    assert identical["reasons"] == {"psnr": "inf"}
    assert identical["note"] == "prediction: first of 12 frames"
    assert (broken["scores"], broken["status"], broken["error"]) == ({}, "error", "out/broken.png: truncated")
    assert small["scores"] == {"charbonnier": 0.02, "psnr": 33.0}


def test_aggregates_are_the_summary_with_reasons_for_what_is_missing() -> None:
    aggregate = strict(render(run()))["aggregate"]
    expected = summary([0.1 + 0.2, 0.001, 0.02])
    assert aggregate["charbonnier"]["mean"] == expected.mean
    assert aggregate["charbonnier"]["ci95"] == list(expected.ci95)
    assert "reasons" not in aggregate["charbonnier"]
    assert (aggregate["psnr"]["mean"], aggregate["psnr"]["infinite"]) == (27.25, 1)
    assert aggregate["psnr"]["max"] is None
    assert aggregate["psnr"]["reasons"]["max"] == "inf"
    assert aggregate["vgg19"]["mean"] is None
    assert set(aggregate["vgg19"]["reasons"].values()) == {"too few values"}


def test_a_mean_of_nothing_but_infinite_values_says_so() -> None:
    psnr = strict(render(run((Row("a", scores={"psnr": math.inf}),))))["aggregate"]["psnr"]
    assert psnr["mean"] is None
    assert psnr["reasons"]["mean"] == "inf"


def test_scores_read_back_to_the_same_float() -> None:
    rows = (Row("x", scores={"ssim": 1 / 3, "psnr": math.pi}),)
    assert strict(render(run(rows)))["pairs"][0]["scores"] == {"ssim": 1 / 3, "psnr": math.pi}


def test_a_path_that_is_not_utf8_makes_json_that_is() -> None:
    text = render(run((Row("a", prediction="out/a\udcff.png", scores={"ssim": 1.0}),)))
    assert strict(text.encode("utf-8").decode("utf-8"))["pairs"][0]["prediction"] == "out/a\\udcff.png"
