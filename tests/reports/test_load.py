"""Saved results come back as they were, and what was damaged is refused in one clear sentence."""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from relight_eval.columns import known
from relight_eval.errors import ResultsError, printable
from relight_eval.groups import Grouping
from relight_eval.pairs import natural_key
from relight_eval.reports import REPORTS, load, save
from relight_eval.reports.console import show
from relight_eval.results import Column, Results, Row
from relight_eval.statistics import SEED
from tests.everything import OPTIONAL, everything
from tests.runs import COLUMNS, ROWS, VERDICTS, run

HOSTILE = (
    *('comma,"quotes"', "new\nline", "carriage\rreturn", "both\r\n", "\n", "line\u2028paragraph\u2029next\x85"),
    *(
        "tab\t",
        "\x00\x1b[31m",
        " blank ",
        "ä/日本/😀",
        "=cmd()",
        "NA",
        "null",
        "inf",
        "#12",
        "semi;colon",
        "back\\slash",
    ),
)
GONE = object()

HOSTILE_ROWS = tuple(
    Row(name, f"out/{name}.png", f"gt/{name}.png", 1, 1, {"ssim": 0.5}, "error", f"{name} is too small")
    for name in sorted(HOSTILE, key=natural_key)
)


def of_table(results: Results) -> Results:
    """What a CSV can hold of these results."""
    meanings = known(column.name for column in results.columns)
    return Results(
        prediction="",
        target="",
        columns=tuple(meanings[column.name] for column in results.columns),
        rows=tuple(
            replace(row, note="", input="", mask="", mistakes=(), digests={}, floors={}) for row in results.rows
        ),
        signature={},
    )


def saved(folder: Path, results: Results, report: str) -> Path:
    path = folder / f"scores.{report}"
    save(path, REPORTS[report](results))
    return path


def written(folder: Path, content: str | bytes, name: str = "scores.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> str:
    """The reason why the file cannot be loaded, without its name, which must stand before it."""
    with pytest.raises(ResultsError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message == printable(message)
    return message.removeprefix(str(path))


# There and back


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(run(), id="all kinds of rows"),
        pytest.param(run(HOSTILE_ROWS, warnings=HOSTILE), id="hostile texts"),
        pytest.param(run(verdicts=VERDICTS), id="verdicts, which are not read"),
        pytest.param(replace(run(), columns=tuple(known(["wssim_ll8"]).values())), id="every column"),
        pytest.param(run().resampled(Grouping("(?P<first>.)(?P<second>.?)"), 7), id="groups and seed"),
        pytest.param(replace(run(), seed=0, grouping=Grouping("^(.)")), id="an unnamed group"),
        pytest.param(everything(thresholds={"colour": 3.0, "local": 0.25}), id="all that a run may have"),
    ],
)
def test_json_comes_back_whole(results: Results, tmp_path: Path) -> None:
    expected = replace(results, seconds=math.nan, verdicts=())
    assert load(saved(tmp_path, results, "json")) == expected


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(run(), id="all kinds of rows"),
        pytest.param(run(HOSTILE_ROWS), id="hostile texts"),
        pytest.param(run(ROWS[::-1]), id="another order"),
        pytest.param(replace(run(), columns=tuple(known(["wssim_ll3"]).values())), id="every column"),
        pytest.param(everything(), id="all that a run may have"),
    ],
)
def test_csv_comes_back_as_much_as_it_holds(results: Results, tmp_path: Path) -> None:
    assert load(saved(tmp_path, results, "csv")) == of_table(results)


@pytest.mark.parametrize("report", ["json", "csv"])
def test_scores_come_back_to_the_same_float(report: str, tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1 / 3, 2.220446049250313e-16, 0.0, 123456.78901234567, 5e-324, math.inf]
    rows = tuple(Row(f"r{i}", scores={"psnr": value}) for i, value in enumerate(values))
    loaded = load(saved(tmp_path, run(rows), report))
    assert [repr(row.scores["psnr"]) for row in loaded.rows] == [repr(value) for value in values]


@pytest.mark.parametrize("report", ["json", "csv"])
def test_bytes_that_are_no_text_come_back_as_they_are_shown(report: str, tmp_path: Path) -> None:
    row = Row("a\udcff", "out/a\udcff.png", "gt/a.png", 1, 1, {"ssim": 0.5}, "error", "\udcff\ud800 is too small")
    (back,) = load(saved(tmp_path, run((row,)), report)).rows
    assert (back.name, back.prediction, back.error) == (r"a\udcff", r"out/a\udcff.png", r"\udcff\ud800 is too small")


def test_json_is_put_into_natural_order_with_the_unpaired_among_the_pairs(tmp_path: Path) -> None:
    loaded = load(saved(tmp_path, run(ROWS[::-1]), "json"))
    assert [row.name for row in loaded.rows] == ["a", "b10", "broken", "extra", "gone", "small"]


def test_files_written_before_there_were_seeds_and_groups_are_read(tmp_path: Path) -> None:
    document = json.loads(REPORTS["json"](run()))
    del document["seed"], document["group"]
    loaded = load(written(tmp_path, json.dumps(document)))
    assert (loaded.seed, loaded.grouping) == (SEED, None)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param(lambda text: "\ufeff" + text, "scores.csv", id="BOM"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), "scores.csv", id="CRLF"),
        pytest.param(lambda text: "\ufeff" + text.replace("\n", "\r\n"), "scores.csv", id="BOM and CRLF"),
        pytest.param(lambda text: text.replace("\n", "\n\n"), "scores.csv", id="empty lines"),
        pytest.param(lambda text: text.rstrip("\n"), "scores.csv", id="no last line end"),
        pytest.param(lambda text: text, "SCORES.CSV", id="upper-case suffix"),
    ],
)
def test_csv_as_editors_leave_it(change: Callable[[str], str], name: str, tmp_path: Path) -> None:
    text = change(REPORTS["csv"](run()))
    assert load(written(tmp_path, text, name)) == of_table(run())


def test_json_with_a_bom_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + REPORTS["json"](run()))
    assert load(path).rows == run().rows


# Damaged, whatever the format


@pytest.mark.parametrize("name", ["scores.json", "scores.csv"])
def test_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    assert refused(tmp_path / name) == ": cannot be read (No such file or directory)"
    (tmp_path / name).mkdir()
    assert refused(tmp_path / name) == ": cannot be read (Is a directory)"


@pytest.mark.parametrize("name", ["scores.txt", "scores", "scores.csv.gz", ".json"])
def test_another_suffix(name: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path, "{}", name)) == ": saved results end in .json or .csv"


@pytest.mark.parametrize("name", ["scores.json", "scores.csv"])
def test_not_utf8(name: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path, b"abc\xff", name)) == ": is not UTF-8 (byte 3)"
    assert refused(written(tmp_path, "format".encode("utf-16"), name)) == ": is not UTF-8 (byte 0)"


@pytest.mark.parametrize("report", ["json", "csv"])
def test_results_that_say_nothing_or_too_much(report: str, tmp_path: Path) -> None:
    a, nothing = ROWS[0], Row("b", status="error", error="truncated")
    assert refused(saved(tmp_path, run(()), report)) == ": holds no scores"
    assert refused(saved(tmp_path, run((nothing,)), report)) == ": holds no scores"
    assert refused(saved(tmp_path, run((a, nothing, a)), report)) == ": image 'a' is there twice"
    nameless = run((a, replace(a, name="")))
    assert refused(saved(tmp_path, nameless, report)) == ": the image of 'out/a.png' has no name"


def test_an_image_that_is_paired_and_unpaired_is_there_twice(tmp_path: Path) -> None:
    document = json.loads(REPORTS["json"](run()))
    document["unpaired"][0]["image"] = "a"
    assert refused(written(tmp_path, json.dumps(document))) == ": image 'a' is there twice"


# Damaged JSON


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", ": is no JSON: Expecting value: line 1 column 1 (char 0)", id="empty"),
        pytest.param("[1, 2", ": is no JSON: Expecting ',' delimiter: line 1 column 6 (char 5)", id="truncated"),
        pytest.param("[]", ": is not what `relight-eval score --json` writes", id="list"),
        pytest.param("null", ": is not what `relight-eval score --json` writes", id="null"),
        pytest.param('{"pairs": []}', ": is not what `relight-eval score --json` writes", id="no format"),
        pytest.param(
            '{"format": 1, "runs": []}', ": is not what `relight-eval score --json` writes", id="a comparison"
        ),
        pytest.param("[" * 100_000, ": is no JSON: maximum recursion depth exceeded", id="deep"),
        pytest.param('{"format": 1' + "0" * 5000 + "}", ": is no JSON: Exceeds the limit", id="huge number"),
    ],
)
def test_json_of_another_kind(text: str, reason: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path, text)).startswith(reason)


def test_json_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    text = REPORTS["json"](run())
    for end in range(0, len(text) - 2, 37):
        assert refused(written(tmp_path, text[:end])).startswith(": is no JSON: ")


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        pytest.param("format", 2, "has format 2, but this version reads format 1; score the images again", id="format"),
        pytest.param("format", "1", "has format '1', but this version reads", id="format in quotes"),
        pytest.param("format", True, "has format True, but this version reads", id="format true"),
        pytest.param("prediction", GONE, "prediction is missing; it must be a text", id="missing folder"),
        pytest.param("signature", None, "signature is None; it must be an object", id="signature null"),
        pytest.param("signature.device", 1, "signature.device is 1; it must be a text", id="number in signature"),
        pytest.param("warnings", "text", "warnings is 'text'; it must be a list of texts", id="warnings a text"),
        pytest.param("warnings", GONE, "warnings is missing; it must be a list of texts", id="missing warnings"),
        pytest.param("seed", 1.5, "seed is 1.5; it must be a whole number", id="seed"),
        pytest.param("seed", -1, "seed is -1; it must be a whole number", id="negative seed"),
        pytest.param("group", 3, "group is 3; it must be a text", id="group a number"),
        pytest.param("group", "(?P<a", '--group "(?P<a" is no regular expression: missing >', id="group no pattern"),
        pytest.param("group", "abc", '--group "abc" names no group', id="group without a group"),
        pytest.param("columns", GONE, "columns is missing; it must be a list", id="missing columns"),
        pytest.param("columns.1.name", "ssim", "columns has one name twice", id="column twice"),
        pytest.param("columns.1.better", "up", "columns[1].better is 'up'; it must be higher or lower", id="better"),
        pytest.param("columns.1.low", "0", "columns[1].low is '0'; it must be a number", id="text in a bound"),
        pytest.param("columns.1.unit", GONE, "columns[1].unit is missing; it must be a text", id="missing unit"),
        pytest.param("pairs", {}, "pairs is {}; it must be a list", id="pairs an object"),
        pytest.param("pairs.1", "b10", "pairs[1] is 'b10'; it must be an object", id="pair a text"),
        pytest.param("pairs.1.image", GONE, "pairs[1].image is missing; it must be a text", id="missing name"),
        pytest.param("pairs.1.image", 7, "pairs[1].image is 7; it must be a text", id="number as a name"),
        pytest.param("pairs.1.width", GONE, "pairs[1].width is missing; it must be a whole number", id="missing width"),
        pytest.param("pairs.1.width", 64.5, "pairs[1].width is 64.5; it must be a whole number", id="half a pixel"),
        pytest.param("pairs.1.height", -1, "pairs[1].height is -1; it must be a whole number", id="negative height"),
        pytest.param("pairs.1.height", 2**63, "pairs[1].height is 92233", id="height that no table holds"),
        pytest.param("pairs.1.scores", GONE, "pairs[1].scores is missing; it must be an object", id="missing scores"),
        pytest.param("pairs.1.scores", [1], "pairs[1].scores is [1]; it must be an object", id="scores a list"),
        pytest.param("pairs.1.scores.ssim", "0.5", "pairs[1].scores.ssim is '0.5'; it must be a number", id="text"),
        pytest.param("pairs.1.scores.ssim", True, "pairs[1].scores.ssim is True; it must be a number", id="true"),
        pytest.param("pairs.1.scores.ssim", math.nan, "pairs[1].scores.ssim is nan; it must be a number", id="NaN"),
        pytest.param("pairs.1.scores.ssim", math.inf, "pairs[1].scores.ssim is inf; it must be", id="Infinity"),
        pytest.param("pairs.1.scores.ssim", None, "pairs[1].scores.ssim is None; it must be", id="null"),
        pytest.param("pairs.1.scores.ssim", 10**400, "pairs[1].scores.ssim is 1000", id="beyond every float"),
        pytest.param("pairs.1.scores.ssmi", 0.5, "pairs[1].scores.ssmi is 0.5; it must be a score of", id="unknown"),
        pytest.param("pairs.1.scores.\udcff", 0.5, r"pairs[1].scores.\udcff is 0.5; it must be", id="no text"),
        pytest.param("pairs.1.reasons", GONE, "pairs[1].scores.psnr is None; it must be a number", id="no reason"),
        pytest.param("pairs.1.reasons", ["inf"], "pairs[1].reasons is ['inf']; it must be an object", id="reasons"),
        pytest.param("pairs.1.reasons.psnr", [], "pairs[1].reasons.psnr is []; it must be a text", id="a reason"),
        pytest.param("pairs.1.reasons.psnr", "too few values", "pairs[1].scores.psnr is None", id="another reason"),
        pytest.param("pairs.1.status", "fine", "pairs[1].status is 'fine'; it must be ok or error", id="status"),
        pytest.param("pairs.1.status", "missing_target", "pairs[1].status is 'missing_target'", id="pair unpaired"),
        pytest.param("pairs.1.error", None, "pairs[1].error is None; it must be a text", id="error null"),
        pytest.param("pairs.1.note", 1, "pairs[1].note is 1; it must be a text", id="note"),
        pytest.param("unpaired", GONE, "unpaired is missing; it must be a list", id="missing unpaired"),
        pytest.param("unpaired.0.status", "ok", "unpaired[0].status is 'ok'; it must be missing_", id="unpaired ok"),
        pytest.param("pairs.1.error", "x" * 200, "", id="what is well is told from what is not"),
    ],
)
def test_damaged_json(place: str, value: object, reason: str, tmp_path: Path) -> None:
    document = json.loads(REPORTS["json"](run()))
    *path, key = (int(step) if step.isdigit() else step for step in place.split("."))
    parent: Any = document
    for step in path:
        parent = parent[step]
    if value is GONE:
        del parent[key]
    else:
        parent[key] = value
    file = written(tmp_path, json.dumps(document))
    if reason:
        assert refused(file).startswith(f": {reason}")
    else:
        assert load(file).rows[1].error == value


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        pytest.param("pairs.0.input", None, "pairs[0].input is None; it must be a text", id="input"),
        pytest.param("pairs.0.mask", 1, "pairs[0].mask is 1; it must be a text", id="mask"),
        pytest.param("pairs.0.mistakes", "x", "pairs[0].mistakes is 'x'; it must be a list of texts", id="mistakes"),
        pytest.param("pairs.0.mistakes", [1], "pairs[0].mistakes is [1]; it must be a list of texts", id="mistake"),
        pytest.param("pairs.0.floors", [], "pairs[0].floors is []; it must be an object", id="floors"),
        pytest.param("pairs.0.floors.black", 1, "pairs[0].floors.black is 1; it must be an object", id="a floor"),
        pytest.param("pairs.0.floors.black.psnr", "8", "pairs[0].floors.black.psnr is '8'; it must be", id="text"),
        pytest.param("pairs.0.floors.black.psnr", math.nan, "pairs[0].floors.black.psnr is nan", id="NaN"),
        pytest.param("pairs.0.floors.black.x", 1.0, "pairs[0].floors.black.x is 1.0; it must be a score of", id="x"),
        pytest.param("thresholds", [], "thresholds is []; it must be an object", id="thresholds"),
        pytest.param("thresholds.colour", "3", "thresholds.colour is '3'; it must be a number", id="threshold"),
        pytest.param("thresholds.color", 3, "thresholds.color is 3; it must be the threshold of a", id="no threshold"),
        pytest.param("columns.3.better", "near", "columns[3].better is 'near'; it must be higher or lower or", id="up"),
        pytest.param("columns.3.optional", 1, "columns[3].optional is 1; it must be true or false", id="optional"),
        pytest.param("pairs.0.findings", 7, "", id="findings are not read: they follow from the scores"),
        pytest.param("pairs.0.floors", GONE, "", id="without floors"),
        pytest.param("pairs.1.floors", GONE, "", id="without floors of one"),
        pytest.param("thresholds", GONE, "", id="without thresholds"),
    ],
)
def test_damaged_json_of_everything(place: str, value: object, reason: str, tmp_path: Path) -> None:
    document = json.loads(REPORTS["json"](everything(thresholds={"colour": 3.0})))
    *path, key = (int(step) if step.isdigit() else step for step in place.split("."))
    parent: Any = document
    for step in path:
        parent = parent[step]
    if value is GONE:
        del parent[key]
    else:
        parent[key] = value
    file = written(tmp_path, json.dumps(document))
    if reason:
        assert refused(file).startswith(f": {reason}")
    else:
        told(load(file))


def told(results: Results) -> None:
    """In every way that there is."""
    for render in REPORTS.values():
        render(results).encode()
    show(results, Console(file=io.StringIO(), width=80, markup=False))


def test_a_column_that_is_said_to_be_optional_may_be_lacking_and_no_other(tmp_path: Path) -> None:
    document = json.loads(REPORTS["json"](everything()))
    del document["pairs"][0]["scores"]["ev_error"]
    assert "image 'a' has status ok, but no score of ev_error" in refused(written(tmp_path, json.dumps(document)))
    document = json.loads(REPORTS["json"](everything()))
    for name in OPTIONAL:
        document["pairs"][0]["scores"].pop(name)
    assert load(written(tmp_path, json.dumps(document))).rows[0].status == "ok"


def test_csv_knows_which_columns_are_optional(tmp_path: Path) -> None:
    loaded = load(saved(tmp_path, everything(), "csv"))
    assert [column.name for column in loaded.columns if column.optional] == OPTIONAL
    assert set(OPTIONAL).isdisjoint(loaded.rows[1].scores)
    lines = REPORTS["csv"](everything()).splitlines()
    cells = lines[1].split(",")
    cells[lines[0].split(",").index("ev_error")] = ""
    (tmp_path / "x.csv").write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    assert "image 'a' has status ok, but no score of ev_error" in refused(tmp_path / "x.csv")


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside this one."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@pytest.mark.parametrize(
    ("results", "count"),
    [
        pytest.param(run(verdicts=VERDICTS).resampled(Grouping("^(?P<scene>.)"), 3), 400, id="rules and groups"),
        pytest.param(everything(thresholds={"colour": 3.0}), 120, id="everything"),
    ],
)
def test_json_changed_at_random_is_refused_or_can_be_told_by_every_report(
    results: Results, count: int, tmp_path: Path
) -> None:
    original = REPORTS["json"](results)
    everywhere = list(places(json.loads(original)))
    odd = (None, True, -1, 0, 2.5, 1e100, math.nan, 2**64, "", "x", "inf", "\udcff", [], {}, [[]], {"a": 1}, ["x"])
    chance = random.Random(4)
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(count):
        document = json.loads(original)
        for *path, key in chance.choices(everywhere, k=chance.choice((1, 1, 2))):
            parent, other = document, document
            try:
                for step in path:
                    parent = parent[step]
                *way, twin = chance.choice(everywhere)
                for step in way:
                    other = other[step]
                match chance.randrange(3):
                    case 0:
                        del parent[key]
                    case 1:
                        parent[key] = chance.choice(odd)
                    case _:
                        parent[key], other[twin] = other[twin], parent[key]
            except (LookupError, TypeError):
                pass  # the change before took that place away
        try:
            text = json.dumps(document)
        except ValueError:  # swapped with something inside itself
            continue
        try:
            loaded = load(written(tmp_path, text))
        except ResultsError:
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
            told(loaded)
    assert min(outcomes.values()) > count / 8, outcomes


# Damaged CSV

HEAD = "image,prediction,target,width,height,ssim,status,error\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", ": is not what `relight-eval score --csv` writes; its head must be image,", id="empty"),
        pytest.param("\n" + HEAD, ": is not what `relight-eval score --csv` writes", id="an empty line first"),
        pytest.param("a,,,1,1,0.5,ok,\n", ": is not what `relight-eval score --csv` writes", id="no head"),
        pytest.param("name,score\na,1\n", ": is not what `relight-eval score --csv` writes", id="another head"),
        pytest.param("image,prediction,target\n", ": is not what `relight-eval score --csv` writes", id="short head"),
        pytest.param(
            HEAD.replace("image,prediction", "prediction,image"), ": is not what `relight", id="head in another order"
        ),
        pytest.param(
            HEAD.replace(",", ";") + "a;;;1;1;0,5;ok;\n",
            ": is not what `relight-eval score --csv` writes; its head must be image,prediction,target,width,height,"
            "...scores...,status,error; save it with commas, not with semicolons",
            id="semicolons",
        ),
        pytest.param(HEAD.replace(",ssim", ""), ": holds no scores", id="no score columns"),
        pytest.param(HEAD, ": holds no scores", id="no lines"),
        pytest.param(HEAD + "a,,,1,1,,ok,\n", ": holds no scores", id="no scores"),
        pytest.param(HEAD.replace("ssim", "ssmi"), ": unknown column 'ssmi'; did you mean ssim", id="unknown column"),
        pytest.param(HEAD.replace("ssim", "ssim,ssim"), ": column 'ssim' is there twice", id="column twice"),
        pytest.param(HEAD + "a,,,1,1,0.5,ok\n", ", line 2: has 7 cells, but the head has 8", id="short line"),
        pytest.param(HEAD + "a,,,1,1,0.5,ok,,\n", ", line 2: has 9 cells, but the head has 8", id="long line"),
        pytest.param(HEAD + "a,,,1,1,0,5,ok,\n", ", line 2: has 9 cells, but the head has 8", id="decimal comma"),
        pytest.param(
            HEAD + "a,,,1,1,0.5,ok,\nb,,,1,1,good,ok,\n",
            ", line 3: ssim is 'good'; it must be a number, or empty",
            id="text in a score",
        ),
        pytest.param(
            HEAD + '"a\nb",,,1,1,0.5,ok,\nb,,,1,1,x,ok,\n', ", line 4: ssim is 'x'", id="after a name of two lines"
        ),
        pytest.param(HEAD + "a,,,1,1,nan,ok,\n", ", line 2: ssim is 'nan'; it must be a number", id="NaN"),
        pytest.param(HEAD + "a,,,1,1,NaN,ok,\n", ", line 2: ssim is 'NaN'; it must be a number", id="NaN of pandas"),
        pytest.param(HEAD + "a,,,64.0,1,0.5,ok,\n", ", line 2: width is '64.0'; it must be a whole", id="width"),
        pytest.param(HEAD + "a,,,1,-1,0.5,ok,\n", ", line 2: height is '-1'; it must be a whole", id="height"),
        pytest.param(HEAD + f"a,,,{'9' * 30},1,0.5,ok,\n", ", line 2: width is '9999", id="width that no table holds"),
        pytest.param(
            HEAD + "a,,,1,1,0.5,fine,\n",
            ", line 2: status is 'fine'; known are ok, error, missing_prediction, missing_target",
            id="status",
        ),
        pytest.param(HEAD + "a,,,1,1,0.5,zip(),\n", ", line 2: status is 'zip()'", id="status like an error"),
        pytest.param(HEAD + 'a,,,1,1,0.5,ok,"trunc', ", line 2: unexpected end of data", id="open quotes"),
        pytest.param(HEAD + 'a,,,1,1,0.5,ok,"a"b\n', ", line 2: ',' expected after '\"'", id="text after quotes"),
        pytest.param(
            HEAD + "a,,,1,1,0.5,missing_target,\n", ", line 2: has scores, but status", id="scores of nothing"
        ),
        pytest.param(HEAD + ",out/x.png,,1,1,0.5,ok,\n", ": the image of 'out/x.png' has no name", id="no name"),
        pytest.param(HEAD + "a,,,1,1,0.5,ok,\na,,,1,1,,ok,\n", ": image 'a' is there twice", id="image twice"),
    ],
)
def test_damaged_csv(text: str, reason: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path, text, "scores.csv")).startswith(reason)


def test_csv_cut_off_anywhere_is_refused_or_holds_the_lines_before(tmp_path: Path) -> None:
    text, whole = REPORTS["csv"](run()), of_table(run()).rows
    for end in range(len(text)):
        path = written(tmp_path, text[:end], "scores.csv")
        try:
            rows = load(path).rows
        except ResultsError:
            continue
        lines = text[:end].removesuffix("\n").count("\n")
        assert rows[:-1] == whole[: lines - 1]
        assert replace(rows[-1], error="") == replace(whole[lines - 1], error="")


@pytest.mark.parametrize("report", ["json", "csv"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(
            [Row("a", scores={"ssim": 0.5, "psnr": 20.0}), Row("b", scores={"psnr": 21.0})],
            "image 'b' has status ok, but no score of ssim",
            id="a-score-that-was-cut-out",
        ),
        pytest.param(
            [Row("a", scores={"psnr": 20.0}), Row("b")],
            "image 'b' has status ok, but no score of psnr",
            id="all-scores-cut-out",
        ),
        pytest.param([Row("a", scores={"ssim": 1.7})], "image 'a': ssim is 1.7; it can only be -1 to 1", id="too-high"),
        pytest.param([Row("a", scores={"charbonnier": 0.0})], "charbonnier is 0; it can only be", id="too-low"),
        pytest.param([Row("a", scores={"ssim": -math.inf})], "ssim is -inf", id="infinitely-low"),
        pytest.param([Row("a", scores={"vgg19": math.inf})], "vgg19 is inf", id="infinite-where-nothing-is"),
        pytest.param(
            [Row("a", scores={"psnr": 20.0}), Row("b", status="error")], "image 'b' has status error", id="no-reason"
        ),
    ],
)
def test_what_no_run_writes_is_refused(rows: list[Row], message: str, report: str, tmp_path: Path) -> None:
    """A score that somebody cut out, or changed by hand, must not pass a gate in silence."""
    with pytest.raises(ResultsError, match=re.escape(message)):
        load(saved(tmp_path, run(tuple(rows)), report))


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(replace(COLUMNS[2], better="lower"), id="direction-flipped"),
        pytest.param(replace(COLUMNS[2], metric="psnr"), id="of-another-metric"),
        pytest.param(replace(COLUMNS[2], name="a\n::error::b"), id="no-word"),
    ],
)
def test_a_column_that_says_other_things_than_it_must_is_refused(column: Column, tmp_path: Path) -> None:
    results = replace(run((Row("a", scores={column.name: 0.5}),)), columns=(column,))
    with pytest.raises(ResultsError, match="is not as this program writes it"):
        load(saved(tmp_path, results, "json"))


def test_a_rounding_error_beyond_the_range_is_none(tmp_path: Path) -> None:
    rows = (Row("a", scores={"ssim": 1 + 1e-7, "charbonnier": 0.001 - 1e-9}),)
    assert load(saved(tmp_path, run(rows), "json")).rows == rows
