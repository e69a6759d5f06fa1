"""What is logged of a run, before any tracker has it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from relight_eval.groups import Grouping
from relight_eval.results import Results, Row
from relight_eval.trackers import entry as entries
from relight_eval.trackers.entry import Entry, entry, unique
from relight_eval.trackers.shots import SIDE, Shot
from tests.everything import everything
from tests.runs import COLUMNS, VERDICTS, run
from tests.trackers.samples import BLUE, RED, gallery, logged


def scored(scores: dict[str, float]) -> Results:
    """A run with these SSIM by image."""
    rows = tuple(Row(name, f"out/{name}.png", f"gt/{name}.png", 9, 9, {"ssim": s}) for name, s in scores.items())
    return replace(run(rows=rows), columns=(COLUMNS[2],))


def test_scalars_have_stable_names_and_are_finite() -> None:
    """Means and percentiles of the three rows of `runs.ROWS` by hand; PSNR without its infinite one."""
    assert logged().scalars == pytest.approx(
        {
            "charbonnier": (0.3 + 0.001 + 0.02) / 3,
            "charbonnier/p05": 0.0029,
            "charbonnier/median": 0.02,
            "charbonnier/p95": 0.272,
            "charbonnier/count": 3,
            "psnr": (21.5 + 33) / 2,
            "psnr/p05": 22.65,
            "psnr/median": 33.0,
            "psnr/count": 3,
            "psnr/infinite": 1,
            "ssim": 0.875,
            "ssim/p05": 0.7625,
            "ssim/median": 0.875,
            "ssim/p95": 0.9875,
            "ssim/count": 2,
            "images/scored": 3,
            "images/errors": 2,
            "images/unpaired": 2,
            "rules/passed": 2,
            "rules/warned": 2,
            "rules/failed": 5,
        }
    )


def test_intervals_where_there_are_enough_images() -> None:
    found = Entry(scored({f"im{i}": 0.1 * i for i in range(9)})).scalars
    low, high = found["ssim/ci95_low"], found["ssim/ci95_high"]
    assert 0 < low < found["ssim"] < high < 0.8
    assert "rules/failed" not in found


def test_parts_of_a_metric_have_a_mean_alone() -> None:
    found = Entry(everything()).scalars
    assert found["psnr_shadows"] == 20.5
    assert "psnr_shadows/p05" not in found
    assert found["psnr_aligned/median"] == 25.0


def test_findings_are_counted() -> None:
    assert {name: n for name, n in Entry(everything()).scalars.items() if name.startswith("findings/")} == {
        "findings/colour_cast": 2,
        "findings/nothing_stands_out": 1,
    }


class TestGroups:
    def test_means_of_every_value(self) -> None:
        results = scored({"hall_1": 0.5, "hall_2": 0.7, "roof_1": 0.9})
        found = Entry(results.resampled(Grouping("(?P<scene>[a-z]+)_"), 0))
        assert found.scalars["ssim/scene/hall"] == pytest.approx(0.6)
        assert found.scalars["ssim/scene/roof"] == 0.9
        assert found.left_out == []

    def test_none_where_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entries, "MOST_GROUPS", 1)
        results = scored({"hall_1": 0.5, "roof_1": 0.9})
        found = Entry(results.resampled(Grouping("(?P<scene>[a-z]+)_"), 0))
        assert not [name for name in found.scalars if name.startswith("ssim/scene")]
        assert found.left_out == ["scene has 2 values, and curves are logged of up to 1: of these groups, none"]


def test_protocol_names_what_was_scored() -> None:
    assert logged().protocol == {
        "prediction": "out/",
        "target": "gt/",
        "relight-eval": "0.1.0",
        "charbonnier": "eps=0.001",
        "device": "cpu",
    }
    assert "| charbonnier | eps=0.001 |" in logged().protocol_table
    assert logged().report.startswith("## relight-eval: ❌ 5 of 9 rules failed, 4 pairs")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [(("pass", "warn", "fail"), "fail"), (("pass", "warn"), "warn"), (("pass",), "pass"), ((), "")],
)
def test_outcome_of_the_rules(outcomes: tuple[str, ...], expected: str) -> None:
    verdicts = tuple(next(verdict for verdict in VERDICTS if verdict.outcome == outcome) for outcome in outcomes)
    assert logged(results=run(verdicts=verdicts)).outcome == expected


def test_table_has_every_row_in_the_order_of_the_page() -> None:
    head, rows = logged().table()
    assert head == ["image", "charbonnier", "psnr", "ssim", "vgg19", "status", "finding", "error"]
    assert rows[0] == ["a", 0.1 + 0.2, 21.5, 0.75, None, "ok", "", ""]
    assert [row[0] for row in rows] == ["a", "small", "b10", "broken", "extra", "gone"]
    assert rows[2][2] == math.inf
    assert rows[1][7] == "9x9 is too small for ssim (needs 11x11)"


def test_table_says_what_is_wrong() -> None:
    head, rows = Entry(everything()).table()
    assert str(rows[0][head.index("finding")]).startswith("mostly a colour cast (")


def test_no_name_commands_a_terminal_or_breaks_a_message() -> None:
    odd = "kit\udcffchen\n\x1b[31m"
    results = scored({odd: 0.5})
    found = entry(replace(results, prediction=odd), gallery(odd), most=1)
    texts = [found.protocol["prediction"], found.table()[1][0][0], found.shots[0].name, found.shots[0].caption]
    for text in texts:
        assert str(text).isprintable()
        assert str(text).encode()
    assert found.report.encode()
    assert found.protocol_table.encode()


class TestShots:
    def shots(self, **of: int | tuple[int, int]) -> tuple[Shot, ...]:
        return entry(run(), gallery("a", "b10", "c", **of), most=2).shots  # type: ignore[arg-type]

    def test_are_the_first_pictures_that_the_run_has(self) -> None:
        assert [shot.name for shot in self.shots()] == ["a", "b10"]
        assert entry(run(), gallery("a", label="other"), "", most=2).shots == ()
        assert entry(run(), gallery("a", label="other"), "other", most=2).shots[0].name == "a"

    def test_show_prediction_target_and_error_side_by_side(self) -> None:
        shot = self.shots(level=255)[0]
        image = shot.image().convert("RGB")
        assert image.size == (shot.width, shot.height) == (3 * 24 + 2 * 4, 16)
        seen = [image.getpixel((x, 8)) for x in (12, 40, 68)]
        magma_high = (252, 253, 191)
        for found, expected in zip(seen, (RED, BLUE, magma_high), strict=True):
            assert found == pytest.approx(expected, abs=4)
        assert shot.caption == "a: prediction | target | ssim error, 0 to 0.5"

    def test_are_no_larger_than_a_tracker_shows(self) -> None:
        shot = self.shots(size=(4 * SIDE, 2 * SIDE))[0]
        assert (shot.width, shot.height) == (3 * SIDE + 8, SIDE // 2)

    def test_without_a_map(self) -> None:
        seen = gallery("a")
        bare = replace(seen, pictures={"a": replace(seen.pictures["a"], maps={})})
        assert entry(run(), bare, most=1).shots[0].caption == "a: prediction | target"


def test_unique_names_stay_apart() -> None:
    assert unique({"a b": "a_b", "a!b": "a_b", "c": "c"}) == {"a b": "a_b", "a!b": "a_b_2", "c": "c"}
