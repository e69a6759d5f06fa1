"""The JSON: valid by its schema, strict, and complete."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from relight_eval.groups import Grouping
from relight_eval.reports.json import pieces, render
from relight_eval.results import FORMAT, Results, Row
from relight_eval.statistics import FEWEST, summary
from tests.everything import ROWS, everything
from tests.runs import VERDICTS, run

SCHEMA = json.loads((files("relight_eval.reports") / "results.schema.json").read_text(encoding="utf-8"))


def strict(text: str) -> dict:
    """Parsed by the letter of JSON: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


every_kind = pytest.mark.parametrize(
    "results",
    [
        pytest.param(run(), id="all kinds of rows"),
        pytest.param(run(()), id="no rows"),
        pytest.param(run(verdicts=VERDICTS), id="all kinds of verdicts"),
        pytest.param(run(verdicts=(replace(VERDICTS[0], value=-math.inf),)), id="infinitely worse"),
        pytest.param(everything(thresholds={"colour": 3.0}), id="everything"),
        pytest.param(run().resampled(Grouping("(?P<scene>.)(?P<rest>.*)"), 7), id="groups"),
        pytest.param(run(()).resampled(Grouping("(.)"), 0), id="groups of nothing"),
    ],
)


@every_kind
def test_valid_by_the_schema_in_the_package(results: Results) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(strict(render(results)), SCHEMA)


@every_kind
def test_laid_out_as_json_does_it(results: Results) -> None:
    text = render(results)
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


def test_no_piece_holds_two_pairs() -> None:
    assert all(piece.count('"image"') <= 1 for piece in pieces(run()))


@pytest.mark.parametrize("key", ["seed", "group", "warnings", "verdicts"])
def test_what_is_written_now_has_every_key(key: str) -> None:
    document = strict(render(run()))
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(document, SCHEMA)


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
    assert (document["seed"], document["group"]) == (0, None)
    assert "groups" not in document
    assert document["warnings"] == ["vgg19 was left out"]


def test_pairs_say_what_the_rows_say() -> None:
    _, identical, broken, small = strict(render(run()))["pairs"]
    assert identical["scores"] == {"charbonnier": 0.001, "psnr": None, "ssim": 1.0}
    assert identical["reasons"] == {"psnr": "inf"}
    assert identical["note"] == "prediction: first of 12 frames"
    assert (broken["scores"], broken["status"], broken["error"]) == ({}, "error", "out/broken.png: truncated")
    assert small["scores"] == {"charbonnier": 0.02, "psnr": 33.0}


def aggregate(column: str, *scores: float) -> dict[str, Any]:
    """Of images with these scores."""
    rows = tuple(Row(f"r{i}", scores={column: score}) for i, score in enumerate(scores))
    return strict(render(run(rows)))["aggregate"][column]


def test_aggregates_are_the_summary() -> None:
    scores = [i / 7 for i in range(FEWEST)]
    expected = summary(scores)
    found = aggregate("ssim", *scores)
    assert found["ci95"] == list(expected.ci95)
    assert (found["mean"], found["std"], found["p05"]) == (expected.mean, expected.std, expected.p05)
    assert "reasons" not in found


def test_an_aggregate_leaves_the_infinite_out_of_the_mean() -> None:
    psnr = aggregate("psnr", 20.0, math.inf, 30.0)
    assert (psnr["mean"], psnr["infinite"], psnr["count"]) == (25.0, 1, 3)
    assert psnr["max"] is None
    assert psnr["reasons"]["max"] == "inf"


@pytest.mark.parametrize(
    ("scores", "reasons"),
    [
        pytest.param([], dict.fromkeys(("mean", "std", "ci95"), "too few values"), id="nothing"),
        pytest.param([20.0], {"mean": None, "std": "too few values", "ci95": "too few values"}, id="one"),
        pytest.param([20.0] * (FEWEST - 1), {"std": None, "ci95": "too few values"}, id="one too few"),
        pytest.param([20.0] * FEWEST, {"std": None, "ci95": None}, id="enough"),
        pytest.param(
            [20.0, math.inf], {"mean": None, "std": "too few values", "ci95": "too few values"}, id="one is infinite"
        ),
        pytest.param([math.inf], {"mean": "inf", "std": "inf", "ci95": "inf", "median": "inf"}, id="all are infinite"),
    ],
)
def test_an_aggregate_says_why_it_has_no_value(scores: list[float], reasons: dict[str, str | None]) -> None:
    found = aggregate("psnr", *scores)
    said = found.get("reasons", {})
    assert {name: said.get(name) for name in reasons} == reasons
    assert [name for name in reasons if found[name] is None] == [name for name in reasons if reasons[name]]


def test_groups_have_their_number_of_scored_images_and_their_means() -> None:
    rows = (
        Row("kitchen_1", scores={"ssim": 0.5, "psnr": math.inf}),
        Row("kitchen_2", scores={"ssim": 0.75, "psnr": 20.0}),
        Row("kitchen_3", status="error", error="truncated"),
        Row("stairs_1", scores={"psnr": math.inf}),
        Row("stairs_9", target="gt/stairs_9.png", status="missing_prediction"),
    )
    results = replace(run(rows), columns=run().columns[1:3], grouping=Grouping("(?P<scene>.*)_(?P<light>.)"))
    assert strict(render(results))["groups"] == {
        "scene": {
            "kitchen": {"images": 2, "means": {"psnr": 20.0, "ssim": 0.625}},
            "stairs": {"images": 1, "means": {"psnr": None, "ssim": None}},
        },
        "light": {
            "1": {"images": 2, "means": {"psnr": None, "ssim": 0.5}},
            "2": {"images": 1, "means": {"psnr": 20.0, "ssim": 0.75}},
        },
    }


def test_a_verdict_says_what_was_held_against_what() -> None:
    verdicts = strict(render(run(verdicts=VERDICTS)))["verdicts"]
    assert verdicts[2] == {
        "rule": "each ssim >= 0.75001",
        "outcome": "fail",
        "undecided": False,
        "line": "each ssim: 1 of 2 images < 0.75001 (worst 0.75, by 1e-05)",
        "column": "ssim",
        "value": 0.75,
        "threshold": 0.75001,
        "judged": 2,
        "unit": "image",
        "failing": ["a"],
        "reason": "seams show below 0.75",
    }
    assert [(verdict["value"], verdict["reasons"]) for verdict in verdicts[-2:]] == [
        (None, {"value": "too few values"}),
        (None, {"value": "inf"}),
    ]
    assert [verdict["undecided"] for verdict in verdicts].index(True) == 4


def test_scores_read_back_to_the_same_float() -> None:
    rows = (Row("x", scores={"ssim": 1 / 3, "psnr": math.pi}),)
    assert strict(render(run(rows)))["pairs"][0]["scores"] == {"ssim": 1 / 3, "psnr": math.pi}


def test_texts_that_are_not_utf8_make_json_that_is() -> None:
    odd = "a\udcff"
    results = run((Row(odd, odd, odd, scores={"ssim": 1.0}, status="error", error=odd, note=odd),), (odd,))
    verdict = replace(VERDICTS[2], rule=odd, line=odd, judged={odd: 0.1}, failing=(odd,), reason=odd)
    text = render(replace(results, prediction=odd, target=odd, signature={odd: odd}, verdicts=(verdict,)))
    assert r"\ud" not in text.replace(r"a\\udcff", "")  # no half of a character, not even escaped
    assert strict(text.encode().decode())["pairs"][0]["prediction"] == r"a\udcff"


class TestEverything:
    def test_what_stands_beside_the_scores_of_a_pair(self) -> None:
        first, second, third, _ = strict(render(everything()))["pairs"]
        assert (first["input"], first["mask"]) == ("in/a.png", "mask/a.png")
        assert first["mistakes"] == list(ROWS[0].mistakes)
        (finding,) = first["findings"]
        assert finding["kind"] == "colour cast"
        assert finding["words"].startswith("a colour cast (+0.2 stops, 6.2° warm;")
        assert first["floors"]["black"]["psnr"] == 8.0
        assert second["findings"] == []  # it has a diagnosis, and nothing stands out
        assert "mistakes" not in second
        assert second["floors"]["input"]["psnr"] is None  # infinite
        assert third["input"] == "in/c.png"
        assert {"mask", "mistakes", "findings", "floors"}.isdisjoint(third)

    def test_a_run_without_them_is_written_as_before(self) -> None:
        document = strict(render(run()))
        assert "thresholds" not in document
        for pair in document["pairs"]:
            assert {"input", "mask", "mistakes", "findings", "floors"}.isdisjoint(pair)
        for column in document["columns"]:
            assert "optional" not in column

    def test_columns_say_what_an_image_may_lack_and_which_way_is_up(self) -> None:
        columns = {column["name"]: column for column in strict(render(everything()))["columns"]}
        assert columns["psnr_shadows"]["optional"] is True
        assert "optional" not in columns["ev_error"]
        assert columns["ev_error"]["better"] == "nearest"
        assert columns["share_colour"]["better"] == "none"
        assert columns["align_gain_r"]["low"] is columns["align_gain_r"]["high"] is None

    def test_thresholds_are_those_chosen_and_change_the_findings(self) -> None:
        document = strict(render(everything(thresholds={"colour": 7.0})))
        assert document["thresholds"] == {"colour": 7.0}
        assert document["pairs"][0]["findings"] == []

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("pairs", 0, "mistakes"), "text"),
            (("pairs", 0, "mistakes"), [1]),
            (("pairs", 0, "input"), None),
            (("pairs", 0, "mask"), 1),
            (("pairs", 0, "findings"), {}),
            (("pairs", 0, "findings", 0, "kind"), 1),
            (("pairs", 0, "floors"), []),
            (("pairs", 0, "floors", "black"), 1),
            (("pairs", 0, "floors", "black", "psnr"), "8"),
            (("thresholds",), []),
            (("thresholds", "colour"), "3"),
            (("columns", 0, "better"), "best"),
            (("columns", 0, "optional"), "yes"),
        ],
        ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else repr(value),
    )
    def test_the_schema_refuses(self, place: tuple[str | int, ...], value: object) -> None:
        document: Any = strict(render(everything(thresholds={"colour": 3.0})))
        jsonschema.validate(document, SCHEMA)
        *way, last = place
        parent = document
        for step in way:
            parent = parent[step]
        parent[last] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, SCHEMA)
