"""The CSV, whole."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight_eval.reports.csv import lines, parse, render
from relight_eval.results import Row
from tests.everything import NAMES, OPTIONAL, everything
from tests.runs import run

EXPECTED = """\
image,prediction,target,width,height,charbonnier,psnr,ssim,vgg19,status,error
a,out/a.png,gt/a.png,64,48,0.30000000000000004,21.5,0.75,,ok,
b10,out/b10.gif,gt/b10.png,64,48,0.001,inf,1.0,,ok,
broken,out/broken.png,gt/broken.png,,,,,,,error,out/broken.png: truncated
extra,out/extra.png,,,,,,,,missing_target,no target of this name
gone,,gt/gone.png,,,,,,,missing_prediction,no prediction of this name
small,out/small.png,gt/small.png,9,9,0.02,33.0,,,error,9x9 is too small for ssim (needs 11x11)
"""


def test_whole_text() -> None:
    assert render(run()) == EXPECTED


def test_numbers_are_written_as_pandas_writes_them() -> None:
    """`DataFrame.to_csv` wrote this table in earlier versions; now its lines are made one by one."""
    scores = {"psnr": 1e22, "ssim": -1e-7, "charbonnier": 5e-324}
    rows = (Row("a", "out/a.png", "gt/a.png", 64, 48, scores), Row("b", status="error", error="x"))
    for results in (run(), run(rows), everything(), run(())):
        assert render(results) == results.to_frame().to_csv(index=False, lineterminator="\n")


def test_it_comes_line_by_line() -> None:
    assert list(lines(run())) == EXPECTED.splitlines(keepends=True)


def test_scores_read_back_to_the_same_float() -> None:
    values = [0.1 + 0.2, 1 / 3, 2.220446049250313e-16, 123456.78901234567, 5e-324]
    rows = tuple(Row(f"r{i}", scores={"ssim": value}) for i, value in enumerate(values))
    read = csv.DictReader(io.StringIO(render(run(rows))))
    assert [float(record["ssim"]) for record in read] == values


def test_names_and_messages_with_commas_quotes_and_newlines_stay_one_cell() -> None:
    row = Row('a,"b"\nc', status="error", error='x: "y", z\n')
    (_, record) = csv.reader(io.StringIO(render(run((row,)))))
    assert record[0] == 'a,"b"\nc'
    assert record[-1] == 'x: "y", z\n'


def test_a_carriage_return_is_in_quotes_so_that_it_ends_no_line() -> None:
    text = render(run((Row("a\rb"), Row("c\r\n"))))
    assert text.splitlines(keepends=True)[1:] == ['"a\r', 'b",,,,,,,,,ok,\n', '"c\r\n', '",,,,,,,,,ok,\n']


def test_a_run_without_rows_is_a_header() -> None:
    assert render(run(())).splitlines() == [EXPECTED.splitlines()[0]]


def test_what_an_image_does_not_have_is_empty_and_the_rest_of_the_table_as_ever() -> None:
    """Input, mask, mistakes and floors are in the JSON alone: the columns of the table are a contract."""
    first, lacking, broken, _ = csv.DictReader(io.StringIO(render(everything())))
    assert list(first) == ["image", "prediction", "target", "width", "height", *NAMES, "status", "error"]
    assert [name for name in NAMES if not lacking[name]] == OPTIONAL
    assert lacking["status"] == "ok"
    assert float(first["wb_angle"]) == 6.25
    assert broken["error"] == "no mask of this name (looked in mask/)"


# Formulas

WORDS = st.text(st.sampled_from("=+-@＝＋－＠'\"\t\r\n ;,\u3000a1|")) | st.text(
    st.characters(exclude_categories=["Cs"])
)


def texts(row: Row) -> tuple[str, str, str, str]:
    return row.name, row.prediction, row.target, row.error


def runs_as_formula(cell: str) -> bool:
    """What OWASP's page on CSV injection lists, for a cell and for what follows what may end it elsewhere."""
    starts = cell[:1] in ("\t", "\r", "\n")
    return starts or any(part.strip()[:1] in tuple("=+-@＝＋－＠") for part in re.split("[;\t\r\n]", cell))


@settings(max_examples=10 * settings().max_examples)
@given(st.tuples(WORDS, WORDS, WORDS, WORDS))
def test_no_text_runs_as_a_formula_and_all_read_back(words: tuple[str, str, str, str]) -> None:
    name, prediction, target, error = words
    text = render(run((Row(name, prediction, target, status="error", error=error),)))
    (record,) = csv.DictReader(io.StringIO(text, newline=""))
    assert not any(runs_as_formula(record[cell]) for cell in ("image", "prediction", "target", "error"))
    (row,) = parse(text, "scores.csv").rows
    assert texts(row) == words


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        pytest.param("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", id="formula"),
        pytest.param("-1", "'-1", id="minus"),
        pytest.param("+a", "'+a", id="plus"),
        pytest.param("@a", "'@a", id="at"),
        pytest.param("＝a", "'＝a", id="full width"),
        pytest.param("\ta", "'\ta", id="tab"),
        pytest.param("\ra", "'\ra", id="carriage return"),
        pytest.param(" =a", "' =a", id="space before"),
        pytest.param("'=a", "''=a", id="as if guarded"),
        pytest.param("a;=b\t-c", "a;'=b\t'-c", id="where else a cell may begin"),
        pytest.param("'a", "'a", id="apostrophe"),
        pytest.param("a=b; c-d", "a=b; c-d", id="within"),
        pytest.param("in/=a", "in/=a", id="in a folder"),
    ],
)
def test_what_a_text_becomes(name: str, cell: str) -> None:
    text = render(run((Row(name),)))
    _, record = csv.reader(io.StringIO(text, newline=""))
    assert record[0] == cell
    assert [row.name for row in parse(text, "scores.csv").rows] == [name]


def test_a_negative_score_is_a_number() -> None:
    text = render(run((Row("a", scores={"ssim": -0.25}),)))
    assert ",-0.25," in text
    assert parse(text, "scores.csv").rows[0].scores == {"ssim": -0.25}


def test_tables_that_were_written_without_a_guard_are_read() -> None:
    """As earlier versions wrote them."""
    head = EXPECTED.splitlines()[0]
    (row,) = parse(f"{head}\n=a,-out/a.png,@gt/a.png,,,,,,,error,+x\n", "scores.csv").rows
    assert texts(row) == ("=a", "-out/a.png", "@gt/a.png", "+x")


def test_a_frame_for_a_notebook_has_the_texts_as_they_are() -> None:
    assert list(run((Row("=a"),)).to_frame()["image"]) == ["=a"]
