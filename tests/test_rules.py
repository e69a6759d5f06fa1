"""Rules from words and from files: what they say, and every way to get them wrong."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from relight_eval.columns import charbonnier, diagnosis, known, psnr, wssim
from relight_eval.errors import UsageError
from relight_eval.groups import Grouping
from relight_eval.results import Column
from relight_eval.rules import Rule, nearest_project, parse, read, require
from relight_eval.text import exact

COLUMNS = (*charbonnier(), *psnr(), *wssim())
SCENES = Grouping(r"(?P<scene>\w+)_(?P<light>\w+)")


def raises(message: str) -> AbstractContextManager[object]:
    """A UsageError of exactly this message."""
    return pytest.raises(UsageError, match=f"^{re.escape(message)}$")


def raises_from(beginning: str) -> AbstractContextManager[object]:
    """A UsageError whose message begins so."""
    return pytest.raises(UsageError, match=f"^{re.escape(beginning)}")


# Words


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        pytest.param("wssim>=0.9", Rule("wssim", ">=", 0.9), "mean wssim >= 0.9", id="no-blanks"),
        pytest.param("  wssim  >=  0.90  ", Rule("wssim", ">=", 0.9), "mean wssim >= 0.9", id="many-blanks"),
        pytest.param("mean wssim > 0", Rule("wssim", ">", 0.0), "mean wssim > 0", id="mean"),
        pytest.param("charbonnier<2e-2", Rule("charbonnier", "<", 0.02), "mean charbonnier < 0.02", id="exponent"),
        pytest.param("median psnr >= 30", Rule("psnr", ">=", 30.0, "median"), "median psnr >= 30", id="median"),
        pytest.param("min psnr >= -1.5", Rule("psnr", ">=", -1.5, "min"), "min psnr >= -1.5", id="negative"),
        pytest.param("max vgg19 <= 1", Rule("vgg19", "<=", 1.0, "max"), "max vgg19 <= 1", id="max"),
        pytest.param("p05 psnr >= 25", Rule("psnr", ">=", 25.0, "p05"), "p05 psnr >= 25", id="percentile"),
        pytest.param("worst12 ssim > .5", Rule("ssim", ">", 0.5, "worst12"), "worst12 ssim > 0.5", id="worst"),
        pytest.param("each ssim > .5", Rule("ssim", ">", 0.5, "each"), "each ssim > 0.5", id="each"),
        pytest.param(
            "wssim drop <= 0.005", Rule("wssim", "<=", 0.005, change="drop"), "mean wssim drop <= 0.005", id="drop"
        ),
        pytest.param(
            "each lpips rise < 0.02",
            Rule("lpips", "<", 0.02, "each", change="rise"),
            "each lpips rise < 0.02",
            id="each-rise",
        ),
        pytest.param(
            "each scene lpips rise <= 0.02",
            Rule("lpips", "<=", 0.02, "mean", change="rise", group="scene"),
            "each scene mean lpips rise <= 0.02",
            id="each-group-rise",
        ),
        pytest.param(
            "worst999999999 ssim > .5", Rule("ssim", ">", 0.5, "worst999999999"), "worst999999999 ssim > 0.5", id="all"
        ),
        pytest.param(
            "each scene mean wssim >= 0.8",
            Rule("wssim", ">=", 0.8, "mean", group="scene"),
            "each scene mean wssim >= 0.8",
            id="each-group",
        ),
        pytest.param(
            "each scene wssim >= 0.8",
            Rule("wssim", ">=", 0.8, "mean", group="scene"),
            "each scene mean wssim >= 0.8",
            id="each-group-short",
        ),
        pytest.param(
            "each light p10 wssim >= 0.8",
            Rule("wssim", ">=", 0.8, "p10", group="light"),
            "each light p10 wssim >= 0.8",
            id="each-group-percentile",
        ),
    ],
)
def test_words_say_a_rule_that_says_itself_again(text: str, rule: Rule, said: str) -> None:
    assert parse(text) == rule
    assert parse(text).text == text
    assert str(parse(text)) == said
    assert parse(said) == rule


def test_a_rule_over_some_images_says_so() -> None:
    rule = parse("wssim >= 0.9", level="warn", images="kitchen/*", reason="it shines")
    assert (rule.level, rule.images, rule.reason) == ("warn", "kitchen/*", "it shines")
    assert str(rule) == "mean wssim of kitchen/* >= 0.9"


FORM = 'a rule is "[STATISTIC] COLUMN OP VALUE", such as "wssim >= 0.9", "p05 psnr >= 25" or "each lpips rise <= 0.02"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", FORM, id="empty"),
        pytest.param("wssim", FORM, id="no-bound"),
        pytest.param("wssim 0.9", FORM, id="no-operator"),
        pytest.param(">= 0.9", FORM, id="no-column"),
        pytest.param("drop <= 0.9", FORM, id="drop-of-nothing"),
        pytest.param("the mean wssim >= 0.9", FORM, id="a-word-more"),
        pytest.param("mean each wssim >= 0.9", FORM, id="each-in-the-middle"),
        pytest.param("wssim >= 0.9\nwssim >= 0.8", FORM, id="two-lines"),
        pytest.param("wssim >=", f"'nothing' is not a number; {FORM}", id="no-number"),
        pytest.param("wssim >= 0,9", f"'0,9' is not a number; {FORM}", id="comma"),
        pytest.param("psnr >= 30 dB", f"'30 dB' is not a number; {FORM}", id="unit"),
        pytest.param("0.8 <= wssim <= 0.9", f"'wssim <= 0.9' is not a number; {FORM}", id="two-bounds"),
        pytest.param("wssim == 1", "== is not among >= <= > <; scores are hardly ever equal", id="equal"),
        pytest.param("wssim = 1", "= is not among >= <= > <; scores are hardly ever equal", id="assigned"),
        pytest.param("wssim => 1", 'did you mean "wssim >= 1"?', id="arrow"),
        pytest.param("each lpips rise=<0.02", 'did you mean "each lpips rise<=0.02"?', id="arrow-back"),
        pytest.param("psnr >= inf", "the value must be a finite number", id="inf"),
        pytest.param("psnr >= -inf", "the value must be a finite number", id="minus-inf"),
        pytest.param("psnr >= nan", "the value must be a finite number", id="nan"),
        pytest.param("psnr >= 1e999", "the value must be a finite number", id="overflow"),
        pytest.param("meen wssim >= 0.9", "unknown statistic 'meen'; did you mean mean or median or min?", id="typo"),
        pytest.param(
            "q wssim >= 0.9",
            "unknown statistic 'q'; known are mean, median, min, max, p05, worst5, each",
            id="nowhere-near",
        ),
        pytest.param("p5 psnr >= 9", "unknown statistic 'p5'; p is followed by two digits, as in p05", id="p5"),
        pytest.param("p100 psnr >= 9", "unknown statistic 'p100'; p is followed by two digits, as in p05", id="p100"),
        pytest.param("P05 psnr >= 9", "unknown statistic 'P05'; p is followed by two digits, as in p05", id="P05"),
        pytest.param("worst0 psnr >= 9", "unknown statistic 'worst0'; did you mean worst5?", id="worst0"),
        pytest.param("worst psnr >= 9", "unknown statistic 'worst'; did you mean worst5?", id="worst"),
        pytest.param("pNN psnr >= 9", "put a number in pNN, as in p05", id="pNN"),
        pytest.param("worstK psnr >= 9", "put a number in worstK, as in worst5", id="worstK"),
        pytest.param(
            "median psnr drop <= 9", "a drop is judged by its mean or for each image, not by median", id="median-drop"
        ),
        pytest.param(
            "each scene p95 lpips rise <= 9",
            "a rise is judged by its mean or for each image, not by p95",
            id="percentile-of-a-group-rise",
        ),
        pytest.param(
            "each scene each lpips rise <= 9", "each image or each scene, not both; leave out one", id="each-each-rise"
        ),
        pytest.param("each scene each psnr > 9", "each image or each scene, not both; leave out one", id="each-each"),
    ],
)
def test_words_that_say_no_rule(text: str, message: str) -> None:
    with raises(f'rule "{text}": {message}'):
        parse(text)


@pytest.mark.parametrize("digits", [10, 19, 5000])
def test_more_of_the_worst_than_anyone_has_images(digits: int) -> None:
    """Python itself refuses numbers of more than 4,300 digits."""
    name = "worst" + "9" * digits
    with raises_from(f"rule \"{name} psnr >= 9\": unknown statistic '{name}'; "):
        parse(f"{name} psnr >= 9")


@pytest.mark.parametrize("number", [0.9, 30.0, 1e-5, -0.25, 0.1 + 0.2, 1 / 3, 123456.789, 1e22])
def test_numbers_read_back_as_they_were(number: float) -> None:
    assert float(exact(number)) == number
    assert len(exact(number)) <= len(repr(number))


# Against the columns of a run


def test_rules_that_fit_a_run() -> None:
    texts = ("wssim >= 1", "charbonnier <= 0.001", "psnr > 1e6", "wssim drop <= 0", "each psnr drop < -1")
    rules = [*map(parse, texts), parse("each light min wssim > 0"), parse("each scene wssim drop <= 0")]
    require(rules, COLUMNS, grouping=SCENES, baseline=True)


@pytest.mark.parametrize(
    ("text", "column", "direction", "meant"),
    [
        pytest.param("charbonnier>=0.02", "charbonnier", "lower", "charbonnier<=0.02", id="as-in-the-style-guide"),
        pytest.param("charbonnier > 0.02", "charbonnier", "lower", "charbonnier < 0.02", id="strict"),
        pytest.param("each wssim <= 0.9", "wssim", "higher", "each wssim >= 0.9", id="each"),
        pytest.param("p95 psnr < 30", "psnr", "higher", "p95 psnr > 30", id="percentile"),
        pytest.param("wssim drop >= 0.01", "wssim", "higher", "wssim drop <= 0.01", id="operator-of-a-drop"),
        pytest.param("wssim rise <= 0.01", "wssim", "higher", "wssim drop <= 0.01", id="rise-of-what-should-rise"),
        pytest.param(
            "each charbonnier drop<0.01", "charbonnier", "lower", "each charbonnier rise<0.01", id="drop-for-rise"
        ),
        pytest.param(
            "each scene wssim rise < 0.01", "wssim", "higher", "each scene wssim drop < 0.01", id="rise-of-a-group"
        ),
        pytest.param("wssim rise >= 0.01", "wssim", "higher", "mean wssim drop <= -0.01", id="must-get-better"),
        pytest.param(
            "each charbonnier drop > 0", "charbonnier", "lower", "each charbonnier rise < 0", id="each-must-get-better"
        ),
    ],
)
def test_the_wrong_direction(text: str, column: str, direction: str, meant: str) -> None:
    """And what is proposed instead fits."""
    with raises(f'rule "{text}": {column} is better when {direction}; did you mean "{meant}"?'):
        require([parse(text)], COLUMNS, grouping=SCENES, baseline=True)
    require([parse(meant)], COLUMNS, grouping=SCENES, baseline=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("wsim >= 0.9", "there is no column 'wsim'; did you mean wssim or ", id="typo"),
        pytest.param("WSSIM >= 0.9", "there is no column 'WSSIM'; did you mean wssim", id="case"),
        pytest.param(
            "lpips <= 0.1", "lpips was not scored in this run; add its metric with -m. It has ", id="not-here"
        ),
        pytest.param("wssim >= 1.01", "wssim lies between -1 and 1; no image could ever pass", id="above-the-top"),
        pytest.param("wssim > 1", "wssim lies between -1 and 1; no image could ever pass", id="strictly-above"),
        pytest.param(
            "charbonnier < 0.001", "charbonnier lies between 0.001 and 1; no image could ever pass", id="below-eps"
        ),
        pytest.param("each view psnr > 9", "there is no group 'view'; known are scene, light", id="no-such-group"),
        pytest.param("each lihgt psnr > 9", "there is no group 'lihgt'; did you mean light?", id="typo-of-a-group"),
        pytest.param("each view psnr drop < 9", "there is no group 'view'; known are scene, light", id="of-a-change"),
        pytest.param("each mean psnr > 9", "there is no group 'mean'; ", id="each-mean"),
    ],
)
def test_rules_that_do_not_fit_a_run(text: str, message: str) -> None:
    with raises_from(f'rule "{text}": {message}'):
        require([parse("wssim > 0"), parse(text)], COLUMNS, grouping=SCENES, baseline=True)


def test_a_column_not_in_this_run_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"It has charbonnier, psnr, wssim, wssim_full, .*, wssim_ll2$"):
        require([parse("vgg19 <= 0.1")], COLUMNS, grouping=None, baseline=False)


def test_a_group_where_there_are_no_groups() -> None:
    with raises(
        "rule \"each scene psnr > 9\": there is no group 'scene'; --group PATTERN says what a group is",
    ):
        require([parse("each scene psnr > 9")], COLUMNS, grouping=None, baseline=False)


@pytest.mark.parametrize("change", ["wssim drop <= 0.01", "each charbonnier rise <= 0.1", "each scene wssim drop < 1"])
def test_a_change_without_a_baseline(change: str) -> None:
    with pytest.raises(UsageError, match=r"a (drop|rise) needs a baseline; use `relight-eval gate --baseline FILE`"):
        require([parse(change)], COLUMNS, grouping=SCENES, baseline=False)


def test_every_column_takes_a_rule_in_its_direction_alone() -> None:
    columns = list(known().values())
    for column in columns:
        if column.better in ("nearest", "none"):
            continue  # see the next
        right, wrong = (">", "<") if column.better == "higher" else ("<", ">")
        require([parse(f"{column.name} {right} 0.5")], columns, grouping=None, baseline=False)
        with pytest.raises(UsageError, match=f"{column.name} is better when {column.better}"):
            require([parse(f"{column.name} {wrong} 0.5")], columns, grouping=None, baseline=False)


@pytest.mark.parametrize(
    "column", [c for c in known().values() if c.better in ("nearest", "none")], ids=lambda c: c.name
)
def test_a_column_without_a_better_side_takes_both_bounds_and_neither_drop_nor_rise(column: Column) -> None:
    for op in (">=", "<=", ">", "<"):
        require([parse(f"each {column.name} {op} 0.5")], [column], grouping=None, baseline=False)
    for change in ("drop", "rise"):
        with pytest.raises(UsageError, match=f"{column.name} has no better side, so it has neither drop nor rise"):
            require([parse(f"{column.name} {change} <= 0.1")], [column], grouping=None, baseline=True)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param("psnr_aligned >= 20", "psnr_aligned was not scored in this run; add --align.", id="aligned"),
        pytest.param("align_gain_r <= 2", "align_gain_r was not scored in this run; add --align.", id="fitted"),
        pytest.param("align_offset_b <= 2", "align_offset_b was not scored in this run; add --align.", id="offset"),
        pytest.param("ssim_shadows >= 0.5", "ssim_shadows was not scored in this run; add --regions.", id="region"),
        pytest.param("shadow_baked <= 0.2", "shadow_baked was not scored in this run; add --input.", id="input"),
        pytest.param("copy_ratio <= 1", "copy_ratio was not scored in this run; add --input.", id="copy"),
        pytest.param("lpips <= 0.2", "lpips was not scored in this run; add its metric with -m.", id="metric"),
        pytest.param("shadow_bked <= 0.2", "there is no column 'shadow_bked'", id="no such"),
    ],
)
def test_a_column_that_an_option_would_add_names_the_option(rule: str, said: str) -> None:
    here = [*diagnosis(), known()["psnr"]]
    with pytest.raises(UsageError, match=re.escape(said)):
        require([parse(rule)], here, grouping=None, baseline=False)


def test_without_the_diagnosis_a_rule_about_it_asks_for_the_metric() -> None:
    with pytest.raises(UsageError, match="ev_error was not scored in this run; add its metric with -m"):
        require([parse("each ev_error <= 1")], [known()["psnr"]], grouping=None, baseline=False)


def test_a_bound_that_no_value_could_keep_is_refused_on_either_side() -> None:
    for rule in ("ev_error <= -17", "ev_error >= 17", "share_rest >= 2", "gain_r <= -1"):
        with pytest.raises(UsageError, match=r"lies between .* no image could ever pass"):
            require([parse(rule)], list(known().values()), grouping=None, baseline=False)


# Files

ENTRIES = """
require = [
    "wssim >= 0.9",
    {rule = "each lpips rise <= 0.02", level = "warn", images = "kitchen/*", reason = "new lamps"},
]
"""


@pytest.mark.parametrize(
    ("name", "head"),
    [
        pytest.param("rules.toml", "", id="own-file"),
        pytest.param("pyproject.toml", '[project]\nname = "x"\n[tool.relight-eval]\n', id="pyproject"),
    ],
)
def test_rules_of_a_file(tmp_path: Path, name: str, head: str) -> None:
    (tmp_path / name).write_text(head + ENTRIES)
    assert read(tmp_path / name) == [
        Rule("wssim", ">=", 0.9),
        Rule("lpips", "<=", 0.02, "each", "rise", level="warn", images="kitchen/*", reason="new lamps"),
    ]


def test_a_pyproject_of_others_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120")
    assert read(tmp_path / "pyproject.toml") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("require = [", r"is no TOML: ", id="no-toml"),
        pytest.param(f"require = {'[' * 3000}{']' * 3000}", "is no TOML: ", id="nested-deep"),
        pytest.param(f"require = [{'9' * 5000}]", "is no TOML: ", id="number-of-many-digits"),
        pytest.param("requires = []", "unknown setting 'requires'; known is require", id="unknown-setting"),
        pytest.param('"" = 1', "unknown setting ''; known is require", id="setting-without-name"),
        pytest.param('require = "wssim > 1"', 'require must be a list of rules, such as ["wssim >= 0.9"]', id="text"),
        pytest.param("[require]\nwssim = 0.9", "require must be a list of rules, such as", id="table"),
        pytest.param("require = [0.9]", "0.9 is no rule; write ", id="number"),
        pytest.param("require = [['wssim > 0']]", "['wssim > 0'] is no rule; write ", id="list-in-list"),
        pytest.param('require = [{level = "warn"}]', "{'level': 'warn'} is no rule; write ", id="no-rule"),
        pytest.param(
            'require = [{rule = "wssim > 0", lvel = "warn"}]',
            "unknown key 'lvel' of a rule; did you mean level",
            id="unknown-key",
        ),
        pytest.param("require = [{rule = 0.9}]", "rule = 0.9 must be a text in quotes", id="rule-is-number"),
        pytest.param(
            'require = [{rule = "wssim > 0", images = ["a", "b"]}]',
            "images = ['a', 'b'] must be a text in quotes",
            id="images-is-list",
        ),
        pytest.param(
            'require = [{rule = "wssim > 0", level = "warning"}]',
            "level 'warning'; did you mean warn?",
            id="unknown-level",
        ),
        pytest.param('require = ["wssim > x"]', "rule \"wssim > x\": 'x' is not a number", id="bad-rule"),
    ],
)
def test_files_that_say_no_rules(tmp_path: Path, text: str, message: str) -> None:
    """The place is named: of a pyproject.toml, with the table."""
    own, project = tmp_path / "rules.toml", tmp_path / "pyproject.toml"
    own.write_text(text)
    with raises_from(f"{own.as_posix()}: {message}"):
        read(own)
    if message.startswith("is no TOML"):
        project.write_text(f"[tool.relight-eval]\n{text}")
        for reads in (read, lambda path: nearest_project(path.parent)):
            with raises_from(f"{project.as_posix()}: {message}"):
                reads(project)
        return
    project.write_text(f"[tool.relight-eval]\n{text}".replace("[require]", "[tool.relight-eval.require]"))
    with raises_from(f"{project.as_posix()}, [tool.relight-eval]: {message}"):
        read(project)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("tool = 3", "tool = 3 must be a table", id="tool"),
        pytest.param("[tool]\nrelight-eval = ['wssim > 0']", "relight-eval = ['wssim > 0'] must be a table", id="list"),
        pytest.param("[tool]\nrelight-eval = false", "relight-eval = False must be a table", id="false"),
    ],
)
def test_a_pyproject_without_a_table_where_one_belongs(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    for reads in (read, lambda path: nearest_project(path.parent)):
        with pytest.raises(UsageError, match=re.escape(f"pyproject.toml: {message}")):
            reads(tmp_path / "pyproject.toml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'# caf\xe9\nrequire = ["wssim > 0"]')
    with pytest.raises(UsageError, match=r"latin\.toml: is no TOML: 'utf-8' codec"):
        read(tmp_path / "latin.toml")


def test_the_nearest_project_upwards_decides_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, inner = tmp_path / "pyproject.toml", tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    ours.write_text('[tool.relight-eval]\nrequire = ["wssim > 0"]')
    assert nearest_project(tmp_path) == nearest_project(inner) == ours
    monkeypatch.chdir(inner)
    assert nearest_project(Path()) == ours  # "." has no parents by name
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.ruff]")
    assert nearest_project(inner) is None
    assert nearest_project(tmp_path) == ours
