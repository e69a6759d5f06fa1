"""Parts of a run: every name in one of them, and together the run that was not split."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight_eval.errors import ResultsError, UsageError
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.groups import Grouping
from relight_eval.merging import digest, merged
from relight_eval.pairs import Pair, Pairing, Unpaired, find, natural_key, part, part_of
from relight_eval.places import place
from relight_eval.reports import REPORTS, load, load_whole
from relight_eval.reports.json import parse, render
from relight_eval.results import Column, Results, Row, Shard, with_twins
from tests.folders import picture, runs_of, two_folders, write
from tests.runs import COLUMNS, run

OFTEN = settings(max_examples=5 * settings().max_examples)

NAMES = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8), min_size=1, unique=True)
KINDS = ("ok", "error", "missing_prediction", "missing_target")


def pairing(names: list[str], kinds: list[str]) -> Pairing:
    """Of names in natural order, the first of them a pair."""
    paired = [Pair(name, Path("p"), Path("t")) for name, kind in zip(names, kinds, strict=True) if kind in KINDS[:2]]
    alone = [
        Unpaired(name, Path("f"), "target" if kind == "missing_target" else "prediction")
        for name, kind in zip(names, kinds, strict=True)
        if kind not in KINDS[:2]
    ]
    return Pairing(Path("p"), Path("t"), tuple(paired), tuple(alone), 3)


class TestParts:
    @OFTEN
    @given(names=NAMES, data=st.data())
    def test_every_name_is_in_one_part_and_no_part_is_much_larger(self, names: list[str], data: st.DataObject) -> None:
        names = sorted(names, key=natural_key)
        kinds = ["ok", *data.draw(st.lists(st.sampled_from(KINDS), min_size=len(names) - 1, max_size=len(names) - 1))]
        whole = pairing(names, kinds)
        of = data.draw(st.integers(1, len(whole.pairs)))
        parts = [part(whole, index, of) for index in range(1, of + 1)]
        assert sorted((pair for p in parts for pair in p.pairs), key=lambda p: natural_key(p.name)) == [*whole.pairs]
        assert {file for p in parts for file in p.unpaired} == {*whole.unpaired}
        assert sum(len(p.unpaired) for p in parts) == len(whole.unpaired)
        for sizes in ([len(p.pairs) for p in parts], [len(p.unpaired) for p in parts]):
            assert max(sizes) - min(sizes) <= 1

    def test_neighbours_are_in_different_parts(self) -> None:
        whole = pairing([f"im{i}" for i in range(7)], ["ok"] * 7)
        assert [pair.name for pair in part(whole, 2, 3).pairs] == ["im1", "im4"]

    def test_the_order_in_which_files_are_made_does_not_matter(self, tmp_path: Path) -> None:
        found = []
        for at, step in (("a", 1), ("b", -1)):
            for i in range(9)[::step]:
                for side in ("p", "t"):
                    write(tmp_path / at / side / f"im{i}.png", picture(0, 4, 4))
            found.append(part(find(tmp_path / at / "p", tmp_path / at / "t"), 2, 4))
        assert [pair.name for pair in found[0].pairs] == [pair.name for pair in found[1].pairs]

    @pytest.mark.parametrize("word", ["", "3", "0/3", "4/3", "-1/3", "1/0", "1/2/3", "a/b", "1.5/3", "²/3", "1/ 3"])
    def test_what_is_no_part(self, word: str) -> None:
        with pytest.raises(UsageError, match=rf"^--shard {re.escape(word)}: is no part; write K/N, such as 3/16"):
            part_of(word)

    def test_what_is_one(self) -> None:
        assert [part_of(word) for word in ("3/16", "03/16", "1/1")] == [(3, 16), (3, 16), (1, 1)]

    @pytest.mark.parametrize("index", [1, 9])
    def test_more_parts_than_pairs_is_said_of_all_parts_alike(self, index: int) -> None:
        few = pairing(["a", "b", "c"], ["ok", "error", "missing_target"])
        with pytest.raises(
            UsageError, match=r"^--shard K/9: there is not a pair for every part; of 2, make 2 parts at"
        ):
            part(few, index, 9)


# What is made of whole results, as `evaluate` would have scored the parts of it


def parts_of(whole: Results, of: int) -> list[tuple[str, Results]]:
    """The parts of a run, written and read again, by the names of their files."""
    paired = [row for row in whole.rows if not row.status.startswith("missing_")]
    sides = {row.name: row.status.partition("missing_")[2] for row in whole.rows}
    found = []
    for index in range(1, of + 1):
        shard = Shard(index, of, len(sides), digest(sides))
        rows = {row.name for row in (*paired[index - 1 :: of], *whole.unpaired[index - 1 :: of])}
        results = replace(
            whole,
            rows=tuple(replace(row, mistakes=()) for row in whole.rows if row.name in rows),
            warnings=(shard.note, *whole.warnings),
            shard=shard,
        )
        found.append((f"p{index}.json", parse(render(results), "p.json")))
    return found


def row_of(name: str, kind: str, score: float, twin: str) -> Row:
    if kind == "missing_target":
        return Row(name, "p", status="missing_target", error="no target of this name")
    if kind == "missing_prediction":
        return Row(name, target="t", status="missing_prediction", error="no prediction of this name")
    scores = {"charbonnier": 0.5, "psnr": score, "ssim": 0.25} if kind == "ok" else {"psnr": score}
    error = "" if kind == "ok" else "too small"
    return Row(name, "p", "t", 4, 4, scores, kind, error, sha256={"prediction": twin} if twin else {})  # type: ignore[arg-type]


def results_of(names: list[str], kinds: list[str], scores: list[float], twins: list[str]) -> Results:
    rows = [row_of(*each) for each in zip(sorted(names, key=natural_key), kinds, scores, twins, strict=True)]
    paired = iter(with_twins([row for row in rows if row.target and row.prediction]))
    rows = [next(paired) if row.target and row.prediction else row for row in rows]
    return replace(run(tuple(rows)), columns=COLUMNS[:3], ignored=3, seconds=math.nan)


@given(names=NAMES, data=st.data())
def test_the_parts_together_are_the_whole(names: list[str], data: st.DataObject) -> None:
    def drawn(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=len(names), max_size=len(names)))

    scores = drawn(st.floats(0, 99) | st.just(math.inf))
    whole = results_of(names, drawn(st.sampled_from(KINDS)), scores, drawn(st.sampled_from(["", "aa", "bb"])))
    grouping = data.draw(st.sampled_from([None, Grouping("(?s)^(.)")]))
    whole = whole.resampled(grouping, data.draw(st.integers(0, 9)))
    parts = parts_of(whole, data.draw(st.integers(1, len(names))))
    found = merged(data.draw(st.permutations(parts)))
    assert replace(found, seconds=math.nan) == whole
    assert render(found) == render(whole)
    assert REPORTS["csv"](found) == REPORTS["csv"](whole)


WHOLE = replace(
    results_of(
        [f"im{i}" for i in range(8)],
        ["ok", "ok", "error", "ok", "missing_target", "ok", "missing_prediction", "ok"],
        [20.0 + i for i in range(8)],
        ["aa", "bb", "", "aa", "", "cc", "", "aa"],
    ),
    signature={"relight-eval": "0.1.0", "ssim": "wang2004", "device": "cpu", "torch": "2.6.0", "interval": "x"},
)


def test_twins_are_told_across_parts() -> None:
    parts = parts_of(WHOLE, 3)
    assert not any(row.mistakes for _, results in parts for row in results.rows)
    assert {row.name: row.mistakes for row in merged(parts).rows if row.mistakes} == {
        "im0": ("the prediction is the same file as that of im3 and 1 more",),
        "im3": ("the prediction is the same file as that of im0 and 1 more",),
        "im7": ("the prediction is the same file as that of im0 and 1 more",),
    }


def test_warnings_are_said_once_and_those_of_single_parts_too() -> None:
    parts = parts_of(WHOLE, 3)
    parts[1] = ("p2.json", replace(parts[1][1], warnings=(*parts[1][1].warnings, "memory was short")))
    assert merged(parts).warnings == ("vgg19 was left out", "memory was short")


def changed(parts: list[tuple[str, Results]], index: int, **changes: Any) -> list[tuple[str, Results]]:
    """The parts, with other results in the one of this index."""
    return [(source, replace(p, **changes) if at == index else p) for at, (source, p) in enumerate(parts, 1)]


def of_signature(key: str, value: str) -> dict[str, Any]:
    return {"signature": {**WHOLE.signature, key: value}}


def without_metric(parts: list[tuple[str, Results]]) -> list[tuple[str, Results]]:
    rows = [replace(row, scores={"psnr": 30.0} if row.scores else {}) for row in parts[1][1].rows]
    return changed(parts, 2, rows=tuple(rows))


def renamed(parts: list[tuple[str, Results]], name: str) -> list[tuple[str, Results]]:
    first, *rows = parts[1][1].rows
    return changed(parts, 2, rows=(replace(first, name=name), *rows))


OTHER = Column("mps", "mps", "higher", 0, 1, 1, "another")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda p: [*p[:2], ("whole.json", WHOLE)],
            "whole.json is a whole run; merge takes what `relight-eval score --shard K/N --json` writes",
            id="a whole run",
        ),
        pytest.param(lambda p: [*p, ("s.CSV", WHOLE)], "s.CSV is a table, which does not say what it is a", id="a CSV"),
        pytest.param(lambda p: p[:1], r"parts 2, 3 of 3 are missing; score them with --shard", id="two are missing"),
        pytest.param(lambda p: p[::2], r"part 2 of 3 is missing", id="one is missing"),
        pytest.param(
            lambda p: [*p, ("again.json", p[1][1])],
            "p2.json and again.json are both part 2 of 3, with the same content; leave one out",
            id="twice",
        ),
        pytest.param(
            lambda p: [*p, ("x.json", replace(p[1][1], rows=p[0][1].rows))],
            "p2.json and x.json are both part 2 of 3, with another content",
            id="two of one number",
        ),
        pytest.param(
            lambda p: [*p[:2], *parts_of(WHOLE, 2)[1:]], "p2.json is part 2 of 2, but p1.json is part 1 of 3", id="of 2"
        ),
        pytest.param(
            lambda p: [*p[:2], parts_of(replace(WHOLE, rows=WHOLE.rows[:-1]), 3)[2]],
            r"p3.json and p1.json are parts of runs over other names \(7 there, 8 here\): score all parts with",
            id="fewer names",
        ),
        pytest.param(
            lambda p: [*p[:2], parts_of(replace(WHOLE, rows=(*WHOLE.rows[:-1], Row("z", "p", "t"))), 3)[2]],
            r"p3.json and p1.json are parts of runs over other names \(8 in each\)",
            id="other names",
        ),
        pytest.param(
            lambda p: changed(p, 2, rows=(replace(p[1][1].rows[0], error="not scored: the run was stopped before"),)),
            r"p2.json, part 2 of 3, was stopped with 1 pair still to score; finish it with --resume",
            id="stopped",
        ),
        pytest.param(
            lambda p: changed(p, 3, prediction="epoch_20"),
            "the parts do not go together: prediction is out/ in parts 1, 2 but epoch_20 in part 3; where these",
            id="another folder",
        ),
        pytest.param(
            lambda p: changed(p, 2, columns=(*COLUMNS[:3], OTHER)),
            "columns is charbonnier,psnr,ssim in parts 1, 3 but charbonnier,psnr,ssim,mps in part 2$",
            id="columns",
        ),
        pytest.param(lambda p: changed(p, 2, seed=7), "--seed is 0 in parts 1, 3 but 7 in part 2$", id="seed"),
        pytest.param(
            lambda p: changed(p, 2, grouping=Grouping("(.)")), r"--group is nothing .* \(\.\) in part 2$", id="group"
        ),
        pytest.param(
            lambda p: changed(p, 1, thresholds={"colour": 3.0}),
            r"--threshold is colour=3 in part 1 but nothing in parts 2, 3$",
            id="thresholds",
        ),
        pytest.param(
            lambda p: changed(p, 2, rows=tuple(replace(row, floors={"black": {}}) for row in p[1][1].rows)),
            "--floors is not given in parts 1, 3 but given in part 2$",
            id="floors",
        ),
        pytest.param(
            lambda p: changed(p, 2, rows=tuple(replace(row, input="i") for row in p[1][1].rows)),
            "--input is not given in parts 1, 3 but given in part 2$",
            id="input",
        ),
        pytest.param(without_metric, "metrics is charbonnier,psnr,ssim in .* but psnr in part 2$", id="metrics"),
        pytest.param(
            lambda p: changed(p, 2, **of_signature("ssim", "other")),
            "the parts do not go together: ssim is wang2004 in parts 1, 3 but other in part 2$",
            id="protocol",
        ),
        pytest.param(
            lambda p: changed(p, 2, **of_signature("mask", ">0")), "mask is nothing in parts 1, 3 but >0 in", id="mask"
        ),
        pytest.param(
            lambda p: renamed(p, "im0"),
            "image 'im0' is in more than one part, p1.json and p2.json; score these again",
            id="overlap",
        ),
        pytest.param(
            lambda p: renamed(p, "z"),
            "the parts have 8 names, which are not the 8 of the run that they say they are of: one of the files was",
            id="changed",
        ),
        pytest.param(
            lambda p: changed(p, 2, rows=p[1][1].rows[1:]), "the parts have 7 names, which are not the 8", id="row gone"
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together(
    change: Callable[[list[tuple[str, Results]]], list[tuple[str, Results]]], message: str
) -> None:
    parts = parts_of(WHOLE, 3)
    assert replace(merged(parts), seconds=math.nan) == WHOLE
    with pytest.raises(ResultsError, match=message):
        merged(change(parts))


def test_force_is_for_the_names_of_folders_alone() -> None:
    parts = changed(parts_of(WHOLE, 3), 3, prediction="/scratch/3/out", target="/scratch/3/gt")
    found = merged(parts, force=True)
    assert (found.prediction, found.target) == ("out/", "gt/")
    assert found.warnings[-1] == (
        "the parts were not scored alike: prediction is out/ in parts 1, 2 but /scratch/3/out in part 3; "
        "target is gt/ in parts 1, 2 but /scratch/3/gt in part 3"
    )
    with pytest.raises(ResultsError, match=r"ssim is wang2004 in parts 1, 3 but other in part 2$"):
        merged(changed(parts_of(WHOLE, 3), 2, **of_signature("ssim", "other")), force=True)


def test_other_machines_are_told_and_stand_in_the_signature() -> None:
    parts = changed(parts_of(WHOLE, 3), 2, **of_signature("device", "cuda"))
    found = merged(parts)
    assert found.signature == {**WHOLE.signature, "device": "cpu and cuda"}
    assert found.warnings[-1] == "the parts were not scored alike: device is cpu in parts 1, 3 but cuda in part 2"


class TestSaved:
    """A part is read back as a part, and taken for nothing else."""

    def test_a_part_may_have_no_score_and_a_run_may_not(self, tmp_path: Path) -> None:
        shard = Shard(2, 3, 8, "0" * 64)
        rows = tuple(row for row in run().rows if not row.scores)
        for name, results in (("part.json", replace(run(rows), shard=shard, ignored=4)), ("whole.json", run(rows))):
            (tmp_path / name).write_text(render(results))
        found = load(place(str(tmp_path / "part.json")))
        assert (found.shard, found.ignored, found.rows) == (shard, 4, rows)
        with pytest.raises(ResultsError, match="holds no scores"):
            load(place(str(tmp_path / "whole.json")))

    def test_what_needs_a_whole_run_refuses_a_part(self, tmp_path: Path) -> None:
        path = tmp_path / "part.json"
        path.write_text(render(parts_of(WHOLE, 3)[1][1]))
        with pytest.raises(
            ResultsError, match=r"part.json: is part 2 of 3 of a run, and a whole one is needed; put all 3"
        ):
            load_whole(place(str(path)))
        path.write_text(render(WHOLE))
        assert load_whole(place(str(path))).rows == WHOLE.rows

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("index", 0, r"shard.index is 0; it must be a whole number from 1 to the `of` beside it"),
            ("index", 4, r"shard.index is 4; it must be"),
            ("of", None, r"shard.index is 2; it must be"),
            ("names", "8", r"shard.names is '8'; it must be a whole number"),
            ("names", None, r"shard.names is None; it must be a whole number"),
            ("ignored", None, r"shard.ignored is None; it must be a whole number"),
            ("digest", 5, r"shard.digest is 5; it must be a text"),
        ],
    )
    def test_what_no_run_writes(self, key: str, value: object, message: str) -> None:
        document = json.loads(render(parts_of(WHOLE, 3)[1][1]))
        document["shard"][key] = value
        with pytest.raises(ResultsError, match=message):
            parse(json.dumps(document), "p.json")


class TestScored:
    """The parts of folders, scored one by one, are the run of the folders."""

    def test_of_evaluate(self, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 5, height=16, width=16)
        whole = evaluate(*folders, metrics="psnr,charbonnier", device="cpu")
        parts = [evaluate(*folders, metrics="psnr,charbonnier", device="cpu", shard=f"{k}/3") for k in (1, 2, 3)]
        assert [len(results.rows) for results in parts] == [2, 2, 1]
        found = merged((str(results.shard), results) for results in parts)
        assert replace(found, seconds=0) == replace(whole, seconds=0)
        assert found.seconds == pytest.approx(sum(results.seconds for results in parts))

    def test_of_several_runs_each_by_itself(self, tmp_path: Path) -> None:
        runs_of(tmp_path, 2, 4, height=16, width=16)
        (tmp_path / "run1" / "im2.png").unlink()
        runs = {f"run{k}": tmp_path / f"run{k}" for k in range(2)}
        words = {"metrics": "psnr", "device": "cpu"}
        whole = evaluate_runs(runs, tmp_path / "target", **words)  # type: ignore[arg-type]
        parts = [evaluate_runs(runs, tmp_path / "target", **words, shard=f"{k}/2") for k in (1, 2)]  # type: ignore[arg-type]
        for label in runs:
            found = merged((str(k), of_part[label]) for k, of_part in enumerate(parts))
            assert render(found) == render(whole[label])

    def test_all_parts_say_the_same_of_what_is_wrong_with_the_run(self, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 3, height=16, width=16)
        (tmp_path / "prediction" / "im0.png").rename(tmp_path / "prediction" / "x.png")
        (tmp_path / "target" / "im0.png").rename(tmp_path / "target" / "x.png")
        for index in (1, 2):
            with pytest.raises(UsageError, match="does not match 1 of 3 images: x"):
                evaluate(*folders, metrics="psnr", device="cpu", grouping=Grouping("im(.)"), shard=f"{index}/2")
