"""Rules, from words and from files: "wssim >= 0.9" -> Rule.

    [each GROUP] [STATISTIC] COLUMN OP VALUE                held against a number
    [each GROUP] [STATISTIC] COLUMN drop|rise <= MARGIN     held against a baseline, image by image

A statistic is mean (the default), median, min, max, pNN (p05), worstK (worst5: the mean of the five worst) or each
(every image must pass). Against a baseline it is mean or each. What a rule says of a run is for `gates`.
"""

from __future__ import annotations

import math
import operator
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from relight_eval.columns import REGIONS, known
from relight_eval.errors import UsageError, nearest, shown
from relight_eval.groups import Grouping
from relight_eval.places import Place, content, reason
from relight_eval.results import ALIGNED, Column
from relight_eval.text import exact

Level = Literal["fail", "warn"]
LEVELS: tuple[Level, ...] = get_args(Level)

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
OPPOSITE = {">=": "<", "<=": ">", ">": "<=", "<": ">="}
MIRRORED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
MISTYPED = {"=>": ">=", "=<": "<="}
WORSENING = {"higher": "drop", "lower": "rise"}  # how a column that is better so gets worse

EXAMPLES = ("mean", "median", "min", "max", "p05", "worst5", "each")  # to name when none is known
STATISTICS = ("mean", "median", "min", "max", "pNN", "worstK", "each")
FORM = '"[STATISTIC] COLUMN OP VALUE", such as "wssim >= 0.9", "p05 psnr >= 25" or "each lpips rise <= 0.02"'


@dataclass(frozen=True)
class Rule:
    """A bound on one column. `change` is drop or rise for a rule against a baseline; `group` names the groups that
    each have to pass; `images` is a pattern of the names that it is about (`*` crosses `/`), all when empty; `text`
    is the rule in the words of whoever wrote it."""

    column: str
    op: str
    threshold: float
    statistic: str = "mean"
    change: str = ""
    group: str = ""
    level: Level = "fail"
    images: str = ""
    reason: str = ""
    text: str = field(default="", compare=False)

    @property
    def subject(self) -> str:
        """What is held against the threshold, in words."""
        words = (f"each {self.group}" if self.group else "", self.statistic, self.column, self.change)
        return " ".join(word for word in words if word) + (f" of {self.images}" if self.images else "")

    def __str__(self) -> str:
        return f"{self.subject} {self.op} {exact(self.threshold)}"


# Reading a rule


def parse(text: str, *, level: Level = "fail", images: str = "", reason: str = "") -> Rule:
    """The rule that these words say; UsageError when they say none. Whether it fits a run is asked of `require`."""
    parts = re.fullmatch(r"\s*([^<>=]*?)\s*(>=|<=|=>|=<|==|=|<|>)\s*(.*?)\s*", text)
    if not parts:
        raise UsageError(f'rule "{text}": a rule is {FORM}')
    left, op, right = parts.groups()
    if op in MISTYPED:
        raise UsageError(f'rule "{text}": did you mean "{text.replace(op, MISTYPED[op])}"?')
    if op not in COMPARE:
        raise UsageError(f'rule "{text}": {op} is not among {" ".join(COMPARE)}; scores are hardly ever equal')
    threshold = _number(text, right)
    words = left.split()
    change = words.pop() if words and words[-1] in WORSENING.values() else ""
    group = words.pop(1) if len(words) > 2 and words[0] == "each" else ""
    if group:
        words.pop(0)
    if len(words) not in (1, 2):
        raise UsageError(f'rule "{text}": a rule is {FORM}')
    statistic = words[0] if len(words) == 2 else "mean"
    rule = Rule(words[-1], op, threshold, statistic, change, group, level, images, reason, text)
    _require_statistic(text, rule)
    return rule


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f'rule "{text}": {number or "nothing"!r} is not a number; a rule is {FORM}') from None
    if not math.isfinite(value):
        raise UsageError(f'rule "{text}": the value must be a finite number')
    return value


def _require_statistic(text: str, rule: Rule) -> None:
    name = rule.statistic
    if name not in STATISTICS and not re.fullmatch(r"p\d\d|worst[1-9]\d{0,8}", name):
        hint = "p is followed by two digits, as in p05" if re.fullmatch(r"[pP]\d+", name) else nearest(name, EXAMPLES)
        raise UsageError(f'rule "{text}": unknown statistic {name!r}; {hint}')
    if name in ("pNN", "worstK"):
        raise UsageError(f'rule "{text}": put a number in {name}, as in {"p05" if name == "pNN" else "worst5"}')
    if rule.change and name not in ("mean", "each"):
        raise UsageError(f'rule "{text}": a {rule.change} is judged by its mean or for each image, not by {name}')
    if rule.group and name == "each":
        raise UsageError(f'rule "{text}": each image or each {rule.group}, not both; leave out one')


def require(rules: Iterable[Rule], columns: Sequence[Column], *, grouping: Grouping | None, baseline: bool) -> None:
    """Raises UsageError for the first rule that could not be judged of a run with these columns."""
    here = {column.name: column for column in columns}
    for rule in rules:
        if rule.column not in here:
            raise UsageError(f'rule "{rule.text}": {_no_such_column(rule.column, here)}')
        _require_direction(rule, here[rule.column])
        _require_reachable(rule, here[rule.column])
        if rule.change and not baseline:
            raise UsageError(
                f'rule "{rule}": a {rule.change} needs a baseline; use `relight-eval gate --baseline FILE`'
            )
        names = grouping.names if grouping else ()
        if rule.group and rule.group not in names:
            known_groups = nearest(rule.group, names) if names else "--group PATTERN says what a group is"
            raise UsageError(f'rule "{rule.text}": there is no group {rule.group!r}; {known_groups}')


def _no_such_column(name: str, here: Mapping[str, Column]) -> str:
    if name in known() and (name.endswith(ALIGNED) or known()[name].metric == "align"):
        return f"{name} was not scored in this run; add --align. It has {', '.join(here)}"
    if name in known() and name.endswith(tuple(f"_{region}" for region in REGIONS)):
        return f"{name} was not scored in this run; add --regions. It has {', '.join(here)}"
    if name in known():
        of_input = known()[name].metric in {column.metric for column in here.values()}  # what else a metric has is here
        add = "--input" if of_input else "its metric with -m"
        return f"{name} was not scored in this run; add {add}. It has {', '.join(here)}"
    return f"there is no column {name!r}; {nearest(name, here)}"


def _require_direction(rule: Rule, column: Column) -> None:
    """The bound must be on the side where the column gets worse: anything else is a slip."""
    if column.better not in WORSENING:  # any bound may be meant
        if rule.change:
            raise UsageError(
                f'rule "{rule.text}": {column.name} has no better side, so it has neither drop nor rise; bound it, as '
                f'with "each {column.name} <= {column.identical + 0.5:g}"'
            )
        return
    change = rule.change and WORSENING[column.better]
    downwards = bool(change) or column.better == "lower"
    op = rule.op if downwards == (rule.op[0] == "<") else MIRRORED[rule.op]
    if (change, op) != (rule.change, rule.op):
        meant = rule.text.replace(rule.op, op).replace(rule.change or op, change or op)
        if change != rule.change and op != rule.op:  # `wssim rise >= 0.01` asks to get better: the same, as a drop
            meant = str(replace(rule, change=change, op=op, threshold=0.0 - rule.threshold))
        raise UsageError(f'rule "{rule.text}": {column.name} is better when {column.better}; did you mean "{meant}"?')


def _require_reachable(rule: Rule, column: Column) -> None:
    if rule.change:
        return
    possible = any(COMPARE[rule.op](value, rule.threshold) for value in (column.low, column.high))
    if not possible:
        scale = f"{column.name} lies between {column.low:g} and {column.high:.4g}"
        raise UsageError(f'rule "{rule.text}": {scale}; no image could ever pass')


# Rules in a file

TABLE = "relight-eval"  # [tool.relight-eval] of a pyproject.toml
KEYS = ("rule", "level", "images", "reason")


def read(path: Place) -> list[Rule]:
    """The rules of a TOML file: `require = [...]`, in a pyproject.toml under [tool.relight-eval].

    Each is a text, or a table with `rule` and any of `level` ("fail" or "warn"), `images` (a pattern of names) and
    `reason`. Raises UsageError for a file that cannot be read, and for anything in it that would be ignored.
    """
    settings, where = _settings(path)
    if unknown := [key for key in settings if key != "require"]:
        raise UsageError(f"{where}: unknown setting {unknown[0]!r}; known is require")
    entries = settings.get("require", [])
    if not isinstance(entries, list):
        raise UsageError(f'{where}: require must be a list of rules, such as ["wssim >= 0.9"]')
    return [_entry(entry, where) for entry in entries]


def nearest_project(folder: Path) -> Path | None:
    """The pyproject.toml of this folder or of the nearest one above; None where that says nothing of rules."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if (path := place / "pyproject.toml").is_file():
            return path if _settings(path)[0] else None
    return None


def _settings(path: Place) -> tuple[dict[str, Any], str]:
    """What the file says to this program, and how to name that place."""
    try:
        settings = tomllib.loads(content(path).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{shown(path)}: cannot be read ({reason(error)})") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, too many digits, nested too deep
        raise UsageError(f"{shown(path)}: is no TOML: {error}") from error
    if path.name != "pyproject.toml":
        return settings, shown(path)
    for key in ("tool", TABLE):
        settings = settings.get(key, {})
        if not isinstance(settings, dict):
            raise UsageError(f"{shown(path)}: {key} = {settings!r} must be a table, [tool.{TABLE}]")
    return settings, f"{shown(path)}, [tool.{TABLE}]"


def _entry(entry: object, where: str) -> Rule:
    if isinstance(entry, str):
        entry = {"rule": entry}
    if not isinstance(entry, dict) or "rule" not in entry:
        raise UsageError(f'{where}: {entry!r} is no rule; write "wssim >= 0.9" or {{rule = "wssim >= 0.9", ...}}')
    for key, value in entry.items():
        if key not in KEYS:
            raise UsageError(f"{where}: unknown key {key!r} of a rule; {nearest(key, KEYS)}")
        if not isinstance(value, str):
            raise UsageError(f"{where}: {key} = {value!r} must be a text in quotes")
    level = entry.get("level", "fail")
    if level not in LEVELS:
        raise UsageError(f"{where}: level {level!r}; {nearest(level, LEVELS)}")
    try:
        return parse(entry["rule"], level=level, images=entry.get("images", ""), reason=entry.get("reason", ""))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
